"""Quality control and curation of SA-1B-style mask datasets."""

__version__ = "0.1.0"
