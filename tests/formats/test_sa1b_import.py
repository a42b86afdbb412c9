import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from typer.testing import CliRunner

from curation import ids
from curation.cli import app
from curation.errors import InputError, LakeError
from curation.formats import images, sa1b_export, sa1b_import
from curation.formats.sa1b_import import GoldOrigin, StageOrigin
from curation.lake import Lake
from tests.formats.records import (
    HEIGHT_PX,
    WIDTH_PX,
    files,
    jpeg,
    random_masks,
    record,
    write_folder,
    write_tar,
)

STAGE = StageOrigin("fully_automatic", 0)
GOLD = GoldOrigin("maria", is_anchored=False)


def import_sa1b(
    lake: Lake, *paths: object, origin=STAGE, folder=None, shard_size=3, workers=1
) -> sa1b_import.Import:
    """A whole import; its plan lies beside the lake."""
    sources = [str(path) for path in paths]
    folder = None if folder is None else str(folder)
    plan = sa1b_import.plan_records(sources, folder, lake.root.parent / "plan")
    job = sa1b_import.start(lake, plan, ", ".join(sources), origin, folder, shard_size)
    job.finish(lake, workers)
    return job


def rows(lake: Lake, sql: str) -> list[dict]:
    return lake.query(sql).to_pylist()


def test_a_folder_with_pictures_is_imported(lake, tmp_path):
    folder = write_folder(tmp_path / "sa", files(5))
    job = import_sa1b(lake, folder)
    assert job.n_problems(lake) == 0
    found = rows(lake, "FROM images ORDER BY image_number")
    assert [row["file_name"] for row in found] == [f"sa_{k}.jpg" for k in range(5)]
    planned = images.plan_images(str(folder), tmp_path / "plan.parquet").items(0, 5)
    assert [row["image_id"] for row in found] == [ids.image_id(item.uri) for item in planned]
    assert [row["sha256"] for row in found] == [images.read_image(item).sha256 for item in planned]
    masks = rows(lake, "FROM masks ORDER BY mask_id")
    assert len(masks) == 20
    for k, row in enumerate(masks):
        mask = random_masks(k // 4, 4)[k % 4]
        assert row["area_px"] == mask.sum()
        rle = {"size": [HEIGHT_PX, WIDTH_PX], "counts": row["rle_counts"].encode()}
        assert np.array_equal(coco_mask.decode(rle), mask)
        assert row["mask_id"] == ids.mask_id(job.run.run_id, k // 4, k % 4)
        x, y, w, h = row["bbox_xywh"]
        assert row["source_bbox_xywh"] == [x, y, max(w - 1, 0), max(h - 1, 0)]
        assert [x, y, w, h] == coco_mask.toBbox(rle).tolist()
    run = rows(lake, "FROM runs")[0]
    assert (run["kind"], run["stage"], run["cycle"], run["n_images"]) == ("import", "fully_automatic", 0, 5)
    assert run["finished_at"] is not None


@pytest.mark.parametrize("with_images", [True, False])
def test_a_tar_gives_what_its_folder_gives(lake, tmp_path, with_images):
    contents = files(4, with_images=with_images)
    import_sa1b(lake, write_folder(tmp_path / "sa", contents))
    tar = write_tar(tmp_path / "sa.tar", {f"./{name}": data for name, data in reversed(contents.items())})
    import_sa1b(lake, tar)
    columns = "image_number, width_px, height_px, size_bytes, sha256, source_image_id, file_name"
    of_run = [rows(lake, f"SELECT {columns} FROM images WHERE run_id = {n} ORDER BY 1") for n in (1, 2)]
    assert of_run[0] == of_run[1]
    assert (of_run[0][0]["sha256"] is not None) == with_images
    masks = [
        rows(lake, f"SELECT mask_index, rle_counts FROM masks WHERE run_id = {n} ORDER BY mask_id")
        for n in (1, 2)
    ]
    assert masks[0] == masks[1]
    assert (
        rows(lake, "SELECT DISTINCT uri FROM images WHERE run_id = 2 ORDER BY 1")[0]["uri"]
        == f"{tar}!sa_0.jpg"
    )


def test_gold_keeps_its_annotator_and_nesting(lake, tmp_path):
    document = record(1, random_masks(1, 2))
    document["annotations"][0] |= {"nesting": "whole", "label": "door"}
    import_sa1b(
        lake, write_folder(tmp_path / "sa", {"any name.json": json.dumps(document).encode()}), origin=GOLD
    )
    found = rows(lake, "FROM gold_masks ORDER BY gold_mask_id")
    assert [row["nesting"] for row in found] == ["whole", None]
    assert [row["label"] for row in found] == ["door", None]
    assert {(row["annotator"], row["is_anchored"]) for row in found} == {("maria", False)}
    assert rows(lake, "SELECT kind, stage, annotator, is_anchored FROM runs") == [
        {"kind": "gold", "stage": None, "annotator": "maria", "is_anchored": False}
    ]


def test_bad_files_annotations_and_pictures_are_problems_and_lose_nothing_else(lake, tmp_path):
    contents = files(6)
    bad = json.loads(contents["sa_1.json"])
    bad["annotations"][2]["predicted_iou"] = "high"
    contents["sa_1.json"] = json.dumps(bad).replace("0.95,", "NaN,", 1).encode()
    contents["sa_2.json"] = b"{"
    contents["sa_3.jpg"] = b""
    contents["sa_4.jpg"] = jpeg(4, width_px=WIDTH_PX + 1)
    contents["coco.json"] = b'{"images": [], "annotations": []}'
    contents["escape.json"] = json.dumps(record(9, random_masks(9, 1), "../../etc/x.jpg")).encode()
    folder = write_folder(tmp_path / "sa", contents)
    job = import_sa1b(lake, folder)
    found = {(Path(row["source"]).name, row["record"]): row for row in rows(lake, "FROM problems")}
    assert set(found) == {
        ("sa_1.json", "annotations[0]"),
        ("sa_1.json", "annotations[2]"),
        ("sa_2.json", ""),
        ("sa_3.jpg", ""),
        ("sa_4.json", ""),
        ("coco.json", ""),
        ("escape.json", ""),
    }
    assert found["sa_3.jpg", ""]["kind"] == "image"
    assert found["sa_4.json", ""]["image_id"] == ids.image_id(f"{folder}/sa_4.jpg")
    assert "41 × 30 px" in found["sa_4.json", ""]["reason"]
    assert {row["work"] for row in found.values()} == {"import"}
    assert job.n_problems(lake) == 7
    counts = rows(
        lake, "SELECT file_name, count(*) AS n FROM masks JOIN images USING (image_id) GROUP BY 1 ORDER BY 1"
    )
    assert {row["file_name"]: row["n"] for row in counts} == {
        "sa_0.jpg": 4,
        "sa_1.jpg": 2,
        "sa_3.jpg": 4,
        "sa_5.jpg": 4,
    }
    assert rows(lake, "SELECT size_bytes FROM images WHERE file_name = 'sa_3.jpg'") == [{"size_bytes": None}]


@pytest.mark.parametrize("shard_size", [1, 2, 10])
def test_of_records_that_name_one_image_the_first_counts(lake, tmp_path, shard_size):
    contents = files(2, with_images=False)
    for name in ("sa_1 again.json", "z.json"):
        contents[name] = json.dumps(record(5, random_masks(8, 3), "sa_1.jpg")).encode()
    job = import_sa1b(lake, write_folder(tmp_path / "sa", contents), shard_size=shard_size)
    assert [row["image_number"] for row in rows(lake, "FROM images ORDER BY 1, 3")] == [0, 1]
    problems = rows(lake, "FROM problems ORDER BY source")
    assert [Path(row["source"]).name for row in problems] == ["sa_1.json", "z.json"]
    assert "sa_1 again.json does" in problems[0]["reason"]
    assert len(rows(lake, "FROM masks")) == 4 + 3
    assert job.n_problems(lake) == 2


def test_pictures_in_another_folder_or_tar(lake, tmp_path):
    contents = files(3)
    records = write_folder(tmp_path / "records", {k: v for k, v in contents.items() if k.endswith(".json")})
    pictures = {name: data for name, data in contents.items() if name.endswith(".jpg")}
    folder = write_folder(tmp_path / "pictures", pictures)
    tar = write_tar(tmp_path / "pictures.tar", pictures)
    import_sa1b(lake, records, folder=folder)
    import_sa1b(lake, records, folder=tar)
    import_sa1b(lake, records)
    found = rows(lake, "SELECT uri, size_bytes FROM images ORDER BY run_id, image_number")
    assert [row["uri"] for row in found[::3]] == [
        f"{folder}/sa_0.jpg",
        f"{tar}!sa_0.jpg",
        f"{records}/sa_0.jpg",
    ]
    assert [row["size_bytes"] for row in found] == [len(pictures[f"sa_{k}.jpg"]) for k in (0, 1, 2)] * 2 + [
        None
    ] * 3


def test_several_paths_a_glob_and_an_s3_prefix(lake, tmp_path, s3_server):
    import boto3

    contents = files(4)
    client = boto3.client("s3", endpoint_url=s3_server)
    client.create_bucket(Bucket="records")
    for name in ("sa_3.json", "sa_3.jpg"):
        client.put_object(Bucket="records", Key=f"part/{name}", Body=contents[name])
    folder = write_folder(tmp_path / "sa", contents)
    job = import_sa1b(
        lake, folder / "sa_0.json", f"{folder}/sa_[12].json", f"{folder}/*_2.json", "s3://records/part"
    )
    assert job.work.plan.records.n_repeated == 1
    found = rows(lake, "SELECT uri, sha256 FROM images ORDER BY image_number")
    assert [row["uri"] for row in found] == [
        *(f"{folder}/sa_{k}.jpg" for k in range(3)),
        "s3://records/part/sa_3.jpg",
    ]
    assert all(row["sha256"] for row in found)


def test_worker_processes_give_the_same_lake(tmp_path):
    folder = write_folder(tmp_path / "sa", files(8))
    contents = []
    for workers in (1, 2):
        with Lake.create(tmp_path / f"lake{workers}") as lake:
            import_sa1b(lake, folder, shard_size=2, workers=workers)
            contents.append(
                [rows(lake, f"FROM {table} ORDER BY ALL") for table in ("images", "masks", "problems")]
            )
    assert contents[0] == contents[1]


def test_the_same_command_finds_its_run_and_other_records_make_a_new_one(lake, tmp_path):
    folder = write_folder(tmp_path / "sa", files(2))
    first = import_sa1b(lake, folder)
    again = import_sa1b(lake, folder)
    assert again.run.is_finished
    assert len(rows(lake, "FROM masks")) == 8
    (folder / "more.json").write_bytes(json.dumps(record(5, random_masks(5, 1))).encode())
    assert import_sa1b(lake, folder).run.run_id != first.run.run_id


def test_sources_without_records_are_refused(lake, tmp_path):
    with pytest.raises(InputError, match=r"no \*\.json is there"):
        import_sa1b(lake, write_folder(tmp_path / "sa", {"a.jpg": jpeg(1)}))


# ---------------------------------------------------------------------------------------------- export


@pytest.mark.parametrize("is_gold", [False, True])
def test_exported_and_imported_again_masks_are_the_same(lake, tmp_path, is_gold):
    contents = files(300, n_masks=2, with_images=False)  # more than one page
    contents["deep/sa_0.json"] = json.dumps(record(1000, random_masks(77, 2), "sa_0.jpg")).encode()
    contents["empty.json"] = json.dumps(record(1001, random_masks(0, 0), "empty.jpg")).encode()
    origin = GOLD if is_gold else STAGE
    import_sa1b(lake, write_folder(tmp_path / "sa", contents), origin=origin, shard_size=128)
    out = tmp_path / "out"
    run = sa1b_export.choose_run(lake, is_gold=is_gold)
    assert sa1b_export.export(lake, run, out) == 602
    assert {str(path.relative_to(out)) for path in out.rglob("*.json")} == set(contents)

    written = json.loads((out / "sa_7.json").read_bytes())
    source = json.loads(contents["sa_7.json"])
    assert written["image"] == source["image"]
    for theirs, ours in zip(source["annotations"], written["annotations"], strict=True):
        known = ("segmentation", "bbox", "area")
        scores = ("predicted_iou", "stability_score", "crop_box", "point_coords")
        assert set(ours) == set(theirs)
        assert {key: ours[key] for key in known} == {key: theirs[key] for key in known}
        assert [ours[key] for key in scores] == [None if is_gold else theirs[key] for key in scores]

    again = import_sa1b(lake, out, origin=origin, shard_size=128)
    table = again.work.table
    before, after = (
        rows(
            lake,
            f"""SELECT image_number, mask_index, rle_counts, bbox_xywh FROM {table}
            JOIN images USING (run_id, image_id) WHERE run_id = {n} ORDER BY ALL""",
        )
        for n in (1, again.run.run_id)
    )
    assert before == after
    assert again.n_problems(lake) == 0


def test_pictures_that_differ_in_their_suffix_alone_get_records_of_their_own(lake, tmp_path):
    contents = {
        f"{k}.json": json.dumps(record(k, random_masks(k, 1), name)).encode()
        for k, name in enumerate(("a.jpg", "a.png", "b.jpg"))
    }
    import_sa1b(lake, write_folder(tmp_path / "sa", contents))
    sa1b_export.export(lake, sa1b_export.choose_run(lake), tmp_path / "out")
    twins = [f"a.{ids.image_id(f'{tmp_path}/sa/a.{suffix}')}.json" for suffix in ("jpg", "png")]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*twins, "b.json"}


@pytest.mark.parametrize(
    ("uri", "root", "name"),
    [
        ("/data/sa/a.jpg", "/data/sa", "a.json"),
        ("/data/sa.tar!x/a.jpg", "/data/sa.tar", "x/a.json"),
        ("s3://b/../../x/a.jpg", "s3://b", "_/_/x/a.json"),
        ("/data/a.b.jpg", "", "data/a.b.json"),
    ],
)
def test_a_record_never_leaves_the_export_folder(uri, root, name):
    assert str(sa1b_export.record_name(uri, root)) == name


def test_a_run_of_the_other_kind_is_refused(lake, tmp_path):
    with pytest.raises(LakeError, match="no such run is finished"):
        sa1b_export.choose_run(lake)
    import_sa1b(lake, write_folder(tmp_path / "sa", files(1)), origin=GOLD)
    with pytest.raises(LakeError, match="run 1 is of kind gold"):
        sa1b_export.choose_run(lake, 1)
    with pytest.raises(LakeError, match="there is no run 9"):
        sa1b_export.choose_run(lake, 9, is_gold=True)
    assert sa1b_export.choose_run(lake, is_gold=True).n_images == 1


# ---------------------------------------------------------------------------------------------- commands


def test_the_commands_end_with_the_count_of_problems(tmp_path):
    contents = files(3)
    contents["sa_1.json"] = b"{"
    folder, workspace = write_folder(tmp_path / "sa", contents), ["--workspace", str(tmp_path / "lake")]
    run = CliRunner().invoke
    assert run(app, ["init", str(tmp_path / "lake")]).exit_code == 0
    for _ in range(2):  # the second call finds everything done, and tells the same problems
        assert run(app, ["import", "sa1b", str(folder), *workspace]).exit_code == 1
    assert run(app, ["export", "sa1b", str(tmp_path / "out"), *workspace]).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["sa_0.json", "sa_2.json"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["gold", "import", "sa1b", "--from-scratch"], "--annotator NAME"),
        (
            ["gold", "import", "sa1b", "--anchored", "--annotator", "m", "--annotator-folders"],
            "one of the two",
        ),
        (["gold", "import", "sa1b", "--anchored", "--annotator-folders"], "no folder is in it"),
        (["import", "sa1b", "--stage", "later"], "allowed are"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, words, reason):
    Lake.create(tmp_path / "lake").close()
    (tmp_path / "empty").mkdir()
    done = CliRunner().invoke(app, [*words, str(tmp_path / "empty"), "-w", str(tmp_path / "lake")])
    assert isinstance(done.exception, InputError)
    assert reason in str(done.exception)


def test_gold_is_anchored_or_from_scratch_and_says_which(tmp_path):
    Lake.create(tmp_path / "lake").close()
    words = ["gold", "import", "sa1b", str(tmp_path), "--annotator", "m", "-w", str(tmp_path / "lake")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "--anchored" in done.output


MEMORY_PROBE = """
import resource, sys
from pathlib import Path
from curation.formats import sa1b_import
from curation.lake import Lake
source, folder = sys.argv[1], Path(sys.argv[2])
with Lake.create(folder / "lake") as lake:
    plan = sa1b_import.plan_records([source], None, folder / "plan")
    origin = sa1b_import.StageOrigin("fully_automatic", 0)
    summary = sa1b_import.start(lake, plan, source, origin, shard_size=200).finish(lake)
print(summary.n_images, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_number_of_records(tmp_path):
    def peak_mb(n: int) -> int:
        document = json.dumps(record(1, random_masks(1, 20)))
        contents = {f"sa_{k}.json": document.replace("sa_1.jpg", f"sa_{k}.jpg").encode() for k in range(n)}
        tar = write_tar(tmp_path / f"{n}.tar", contents)
        done = subprocess.run(
            [sys.executable, "-c", MEMORY_PROBE, str(tar), str(tmp_path / str(n))],
            capture_output=True,
            check=True,
        )
        n_images, peak = done.stdout.split()
        assert int(n_images) == n
        return int(peak)

    small, large = peak_mb(200), peak_mb(4000)
    assert large < small + 60  # the large tar has 30 MB of JSON, and its tables weigh as much again
