"""`curation batch` and `curation diff` as a person types them, from opening to the proof."""

import json

import pytest
from samples import run_with_masks
from test_drawing import square
from typer.testing import CliRunner

from curation.cli import app
from curation.cli.batch import _ids, _moment
from curation.errors import InputError
from curation.lake import Lake


def curation(root, *arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--workspace", str(root)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_the_way_of_a_batch(lake, tmp_path):
    rows = run_with_masks(lake, 2, 2)[1]
    root = lake.root
    listed = tmp_path / "ids.txt"
    listed.write_text("# worst ones\n" + "\n".join(str(row["mask_id"]) for row in rows) + "\n")
    opened = curation(
        root, "batch", "open", "b", "--mask-ids", listed, "--annotators", "ann,bob", "--due", "2020-01-01"
    )
    assert "4 masks of 2 images" in opened[2]
    assert curation(root, "batch", "export", "b", tmp_path / "out")[0] == 0
    back = tmp_path / "out" / "annotations.json"
    document = json.loads(back.read_text())
    for annotation in document["annotations"]:
        annotation["segmentation"] = square(0, 0, 20)
    back.write_text(json.dumps(document))
    merged = curation(root, "batch", "merge", "b", back, "--annotator", "ann")
    assert merged[0] == 0
    assert "4 masks corrected" in merged[2]
    for annotation in document["annotations"]:
        annotation["segmentation"] = square(0, 0, 25)
    back.write_text(json.dumps(document))
    conflicts = curation(root, "batch", "merge", "b", back, "--annotator", "bob", "-f", "json")
    assert conflicts[0] == 1
    told = [json.loads(line) for line in conflicts[1].splitlines()]
    assert {row["corrected_by"] for row in told} == {"ann"}
    assert {row["resolved"] for row in told} == {None}
    assert "--on-conflict" in conflicts[2]
    (status,) = curation(root, "batch", "status", "-f", "json")[1].splitlines()
    assert json.loads(status)["n_corrected"] == 4
    assert "Batch b" in curation(root, "batch", "status", "b")[1]
    assert "sample b-proof: 4 of 4 pairs" in curation(root, "batch", "prove", "b")[2]
    (row,) = curation(root, "diff", "1", "now", "-f", "json")[1].splitlines()
    assert json.loads(row)["n_added"] == 4
    assert Lake.open(root).query("FROM batches").num_rows == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "1\nx\n", "'x' is no mask id"),
        ("a.csv", "id\n1\n", "no column mask_id"),
        ("a.csv", "mask_id\nx\n", "mask_id"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        _ids(tmp_path / name)


def test_lists_and_moments_are_read(tmp_path):
    (tmp_path / "a.csv").write_text("mask_id,why\n5,x\n7,y\n")
    assert _ids(tmp_path / "a.csv") == [5, 7]
    assert _moment("2026-12-01").hour == 23
    with pytest.raises(InputError, match="--due"):
        _moment("soon")
    with pytest.raises(InputError, match="no such file"):
        _ids(tmp_path / "b.txt")
