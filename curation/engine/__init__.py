"""The data engine around the masks: may a stage be left, may a dataset be released."""
