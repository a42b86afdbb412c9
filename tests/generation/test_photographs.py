"""Photographs come from installed wheels, never from the network."""

import pytest

from curation.formats.images import read_image
from curation.generation.photographs import PHOTOGRAPHS, write_photographs

pytest.importorskip("skimage", reason="scikit-image is not installed")


def test_writes_readable_photographs_once(tmp_path):
    assert write_photographs(tmp_path) == len(PHOTOGRAPHS)
    assert {p.name for p in tmp_path.iterdir()} == set(PHOTOGRAPHS.values())
    for path in tmp_path.iterdir():
        height, width, channels = read_image(str(path)).pixels.shape
        assert min(height, width) >= 300
        assert channels == 3
    seen: list[str] = []
    assert write_photographs(tmp_path, on_done=seen.append) == 0
    assert seen == list(PHOTOGRAPHS.values())
