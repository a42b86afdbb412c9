import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from curation.errors import InputError, RecordError
from curation.formats import sa1b
from curation.formats.records import Record, RecordImage
from curation.masks import areas, boxes, decode, encode, to_strings
from tests.formats.records import HEIGHT_PX, WIDTH_PX, random_masks, record


def parse(document: object) -> Record:
    return sa1b.parse_record(json.dumps(document).encode())


def column(found: sa1b.Record, name: str) -> list:
    return found.annotations.columns[name].to_pylist()


def changed(path: str, value: object) -> dict:
    """A record of three masks, with one value of its second annotation, or of its image, changed."""
    document = record(1, random_masks(1, 3))
    where, _, key = path.partition(".")
    target = document["image"] if where == "image" else document["annotations"][1]
    if path.startswith("segmentation."):
        target = target["segmentation"]
    target[key or where] = value
    return document


def test_a_record_is_read_column_by_column():
    masks = random_masks(5, 3)
    found = parse(record(7, masks))
    assert found.image == RecordImage("7", WIDTH_PX, HEIGHT_PX, "sa_7.jpg")
    assert found.problems == []
    assert np.array_equal(decode(found.annotations.runs), masks)
    assert column(found, "mask_index") == [0, 1, 2]
    assert column(found, "source_mask_id") == ["7000", "7001", "7002"]
    assert column(found, "predicted_iou") == [0.9, 0.901, 0.902]
    assert column(found, "crop_box_xywh")[0] == [0.0, 0.0, WIDTH_PX, HEIGHT_PX]
    assert len(column(found, "point_xy")[0]) == 2
    assert column(found, "nesting") == [None] * 3


def test_integers_where_floats_are_meant_nulls_and_missing_keys_are_fine():
    document = record(1, random_masks(1, 4))
    first, second, third, fourth = document["annotations"]
    first |= {"bbox": [1, 2, 3, 4], "predicted_iou": 1, "stability_score": 0, "point_coords": [[3, 4]]}
    second |= dict.fromkeys(set(second) - {"segmentation"})
    for key in set(third) - {"segmentation"}:
        del third[key]
    fourth |= {"point_coords": [], "nesting": "part", "label": "door", "id": "a-4", "area": 0}
    del document["image"]["image_id"]
    found = parse(document)
    assert found.problems == []
    assert found.image.source_image_id is None
    assert column(found, "predicted_iou") == [1, None, None, 0.903]
    assert column(found, "source_bbox_xywh")[:3] == [[1, 2, 3, 4], None, None]
    assert column(found, "point_xy") == [[3, 4], None, None, None]
    assert column(found, "source_mask_id") == ["1000", None, None, "a-4"]
    assert (column(found, "label")[3], column(found, "nesting")[3]) == ("door", "part")


def test_uncompressed_counts_are_read_beside_compressed_ones():
    masks = random_masks(3, 2)
    document = record(1, masks)
    runs = encode(masks)[0]
    document["annotations"][0]["segmentation"]["counts"] = runs.counts.tolist()
    assert np.array_equal(decode(parse(document).annotations.runs), masks)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("predicted_iou", True, "must be a number"),
        ("predicted_iou", "0.9", "must be a number"),
        ("stability_score", float("nan"), "NaN or infinity"),
        ("stability_score", float("inf"), "NaN or infinity"),
        ("stability_score", 10**400, "beyond 1e308"),
        ("bbox", [1, 2, 3], r"must be \[x, y, w, h\]"),
        ("bbox", [1, 2, 3, None], "must be numbers"),
        ("bbox", "1 2 3 4", r"must be \[x, y, w, h\]"),
        ("bbox", [1, 2, 3, float("-inf")], "NaN or infinity"),
        ("crop_box", [0, 0, True, 5], "must be numbers"),
        ("crop_box", {}, r"must be \[x, y, w, h\]"),
        ("point_coords", [1, 2], "point_coords"),
        ("point_coords", [[1]], "point_coords"),
        ("point_coords", "x", "list of"),
        ("id", True, "string or an integer"),
        ("id", 1.5, "string or an integer"),
        ("id", "a\0", "NUL"),
        ("label", 3, "must be a string"),
        ("label", "\ud800", "character pair"),
        ("nesting", "subpart", "allowed: whole, part"),
        ("nesting", ["whole"], "allowed: whole, part"),
        ("segmentation", None, "segmentation"),
        ("segmentation", [[1, 2, 3, 4, 5, 6]], "polygons are not RLE"),
        ("segmentation.size", [WIDTH_PX, HEIGHT_PX], "size"),
        ("segmentation.size", [float(HEIGHT_PX), float(WIDTH_PX)], "integer"),
        ("segmentation.counts", "", "sum"),
        ("segmentation.counts", "00P", "cut short"),
        ("segmentation.counts", "ä", "holds only"),
        ("segmentation.counts", [5, -5, 1200], "0 or more"),
        ("segmentation.counts", [1201], "sum"),
        ("segmentation.counts", 7, "counts"),
    ],
)
def test_a_bad_annotation_is_a_problem_and_loses_nothing_else(path, value, reason):
    found = parse(changed(path, value))
    ((index, error),) = found.problems
    assert index == 1
    with pytest.raises(InputError, match=reason):
        raise error
    assert column(found, "mask_index") == [0, 2]
    assert np.array_equal(decode(found.annotations.runs), random_masks(1, 3)[[0, 2]])


def test_annotations_that_are_no_objects_are_problems():
    document = record(1, random_masks(1, 2))
    document["annotations"] += [None, 3, [], {}, {"segmentation": {}}]
    found = parse(document)
    assert [index for index, _ in found.problems] == [2, 3, 4, 5, 6]
    assert column(found, "mask_index") == [0, 1]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", '"image" and "annotations"'),
        (b"null", '"image" and "annotations"'),
        (b'{"images": [], "annotations": [], "categories": []}', "'images'"),
        (b'{"image": 3, "annotations": []}', "image: 3"),
        (b'{"image": {"width": 4, "height": 4, "file_name": "a"}, "annotations": {}}', "must be a list"),
    ],
)
def test_files_that_are_no_records_are_refused(data, reason):
    with pytest.raises(RecordError, match=reason):
        sa1b.parse_record(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("image.width", None),
        ("image.width", 40.0),
        ("image.width", True),
        ("image.height", 0),
        ("image.height", -30),
        ("image.height", 10**9),
        ("image.image_id", 1.5),
        ("image.file_name", None),
        ("image.file_name", 3),
    ],
)
def test_a_bad_image_refuses_the_file(path, value):
    with pytest.raises(InputError, match=path.partition(".")[2]):
        parse(changed(path, value))


@pytest.mark.parametrize(
    "name",
    [
        "../up.jpg",
        "a/../../up.jpg",
        "/etc/passwd",
        "~/x.jpg",
        "..",
        ".",
        "",
        "a/",
        "a\\b.jpg",
        "..\\up.jpg",
        "C:x.jpg",
        "c:/x.jpg",
        "a\0.jpg",
        "a\n.jpg",
        "\ud800.jpg",
    ],
)
def test_a_file_name_may_not_leave_its_folder(name):
    with pytest.raises(RecordError, match=r"image\.file_name"):
        parse(changed("image.file_name", name))


@pytest.mark.parametrize(
    ("name", "kept"), [("./a.jpg", "a.jpg"), ("b//a.jpg", "b/a.jpg"), ("..a.jpg", "..a.jpg")]
)
def test_names_inside_the_folder_are_kept_in_one_form(name, kept):
    assert parse(changed("image.file_name", name)).image.file_name == kept


def test_a_byte_order_mark_and_no_annotations_are_fine():
    document = record(1, random_masks(1, 0))
    assert len(sa1b.parse_record(b"\xef\xbb\xbf" + json.dumps(document).encode()).annotations.runs) == 0


def rows(masks: np.ndarray, **columns: object) -> list[dict]:
    runs = encode(masks)
    values = zip(to_strings(runs), areas(runs).tolist(), boxes(runs).tolist(), strict=True)
    return [
        {"id": i, "rle_counts": counts, "area_px": area, "bbox_xywh": box, "label": None, **columns}
        for i, (counts, area, box) in enumerate(values)
    ]


IMAGE_ROW = {
    "image_id": 5,
    "source_image_id": "12",
    "width_px": WIDTH_PX,
    "height_px": HEIGHT_PX,
    "file_name": "a.jpg",
}


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(0, 4), st.just(HEIGHT_PX), st.just(WIDTH_PX))))
def test_written_and_read_again_masks_are_the_same_to_the_pixel(masks):
    document = sa1b.to_record(IMAGE_ROW, rows(masks))
    again = parse(document)
    assert np.array_equal(decode(again.annotations.runs), masks)
    for annotation, mask in zip(document["annotations"], masks, strict=True):
        rle = {"size": [HEIGHT_PX, WIDTH_PX], "counts": annotation["segmentation"]["counts"].encode()}
        assert np.array_equal(coco_mask.decode(rle).astype(bool), mask)
        x, y, w, h = annotation["bbox"]
        filled = np.argwhere(mask)
        if len(filled):  # SAM: [x_min, y_min, x_max - x_min, y_max - y_min], maxima inclusive
            (top, left), (bottom, right) = filled.min(0), filled.max(0)
            assert [x, y, w, h] == [left, top, right - left, bottom - top]
        else:
            assert [x, y, w, h] == [0, 0, 0, 0]
        assert all(isinstance(value, float) for value in annotation["bbox"])
        assert annotation["area"] == mask.sum()


def test_every_key_is_written_and_what_is_not_known_is_null():
    document = sa1b.to_record(IMAGE_ROW, rows(random_masks(0, 1), nesting="part", annotator="maria"))
    (annotation,) = document["annotations"]
    assert document["image"] == {
        "image_id": 12,
        "width": WIDTH_PX,
        "height": HEIGHT_PX,
        "file_name": "a.jpg",
    }
    assert set(annotation) == {*record(0, random_masks(0, 1))["annotations"][0], "nesting"}
    assert annotation["predicted_iou"] is annotation["stability_score"] is annotation["point_coords"] is None
    assert sa1b.to_record(IMAGE_ROW | {"source_image_id": "a12"}, [])["image"]["image_id"] == 5


def test_a_record_is_written_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "deep" / "a.json"
    sa1b.write_record(path, {"a": 1})
    with pytest.raises(TypeError):
        sa1b.write_record(path, {"a": object()})
    assert os.listdir(path.parent) == ["a.json"]
    assert json.loads(path.read_bytes()) == {"a": 1}
    assert path.stat().st_mode & 0o777 == 0o644
