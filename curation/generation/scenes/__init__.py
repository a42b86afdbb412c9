"""Rendered scenes with exact gold: every mask is known to the pixel, so nothing has to be licensed or drawn.

A scene is a function of (seed, index, size, theme) alone, bit for bit under the same NumPy and Pillow. A
mask holds the pixels where its thing or part shows, after occlusion; a pixel belongs to the topmost shape
that covers at least half of it. The wholes of a scene share no pixel and together leave out only slivers;
a part lies inside its whole, and no mask is there twice.
"""

from .files import sa1b_record, write_scenes
from .render import MIN_VISIBLE_PX
from .scene import DEFAULT_SIZE, Scene, render
from .themes import THEMES

__all__ = ["DEFAULT_SIZE", "MIN_VISIBLE_PX", "THEMES", "Scene", "render", "sa1b_record", "write_scenes"]
