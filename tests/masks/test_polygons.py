"""Polygons against pycocotools, pixel for pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from curation.errors import RleError
from curation.masks import to_strings
from curation.masks.polygons import join_polygons, rasterise

coordinates = st.floats(-9, 40, width=32) | st.integers(-6, 36) | st.sampled_from([0.0, 0.5, 12.5, 30.0])
polygons = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9).map(
    lambda points: [float(v) for point in points for v in point]
)


@settings(deadline=None)
@given(polygons=st.lists(polygons, max_size=4), height=st.integers(1, 30), width=st.integers(1, 30))
def test_every_polygon_has_pycocotools_pixels(polygons, height, width):
    expected = coco.decode(coco.frPyObjects(polygons, height, width)) if polygons else None
    drawn = rasterise(polygons, height, width)
    assert len(drawn) == len(polygons)
    for index, text in enumerate(to_strings(drawn)):
        found = coco.decode({"size": [height, width], "counts": text.encode()})
        assert np.array_equal(found, expected[:, :, index])


@settings(deadline=None)
@given(group=st.lists(polygons, min_size=1, max_size=4))
def test_a_mask_of_several_polygons_is_their_union(group):
    merged = coco.merge(coco.frPyObjects(group, 25, 30))
    drawn = join_polygons([group, group[:1]], 25, 30)
    found = [coco.decode({"size": [25, 30], "counts": text.encode()}) for text in to_strings(drawn)]
    assert np.array_equal(found[0], coco.decode(merged))
    assert np.array_equal(found[1], coco.decode(coco.frPyObjects(group[:1], 25, 30)[0]))


def test_points_that_repeat_change_nothing():
    triangle = [2.0, 2.0, 20.0, 3.0, 9.0, 22.0]
    repeated = [2.0, 2.0, 2.0, 2.0, 20.0, 3.0, 20.0, 3.0, 9.0, 22.0, 9.0, 22.0, 2.0, 2.0]
    assert rasterise([triangle], 25, 30) == rasterise([repeated], 25, 30)


@pytest.mark.parametrize(
    ("polygon", "reason"),
    [
        ([1, 1, 5, 5], "polygon 1: 4 numbers came"),
        ([1, 1, 5, 5, 6, 7, 8], "polygon 1: 7 numbers came"),
        ("1 1 2 2 3 3", "polygon 1: str came"),
        ([[1, 1], [5, 5], [6, 7], [1, 1], [2, 2], [3, 3]], "flat list of numbers"),
        ([1, 1, 5, 5, float("nan"), 7], "coordinate nan came"),
        ([1, 1, 5, 1e9, 6, 7], "polygon 1: coordinate 1000000000.0 came"),
        ([1, 1, 5, None, 6, 7], "coordinate nan came|flat list of numbers"),
    ],
)
def test_what_is_no_polygon_is_refused(polygon, reason):
    with pytest.raises(RleError, match=reason):
        rasterise([[0, 0, 4, 0, 4, 4], polygon], 25, 30)


def test_a_mask_without_polygons_is_refused():
    with pytest.raises(RleError, match="mask 1: no polygon came"):
        join_polygons([[[0, 0, 4, 0, 4, 4]], []], 25, 30)
