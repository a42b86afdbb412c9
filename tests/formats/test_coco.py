"""COCO files into the lake."""

import json
import random
import time
from pathlib import Path

import numpy as np
import processes
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from typer.testing import CliRunner

from curation.cli import app
from curation.errors import InputError
from curation.formats import coco_import
from curation.formats.mask_import import GoldOrigin, StageOrigin
from curation.lake import Lake
from tests.formats.records import HEIGHT_PX, WIDTH_PX, jpeg, random_masks, write_folder, write_tar

GOLD = GoldOrigin("maria", is_anchored=False)
STAGE = StageOrigin("semi_automatic", 2)


def polygons(rng: np.random.Generator, n: int) -> list[list[float]]:
    return [rng.uniform(-2, 38, 2 * rng.integers(3, 8)).round(2).tolist() for _ in range(n)]


def segmentation(rng: np.random.Generator, kind: int) -> list | dict:
    if kind < 2:
        return polygons(rng, kind + 1)
    rle = coco_mask.encode(np.asfortranarray(random_masks(int(rng.integers(99)), 1)[0], np.uint8))
    if kind == 2:
        return {"size": rle["size"], "counts": rle["counts"].decode()}
    flat = coco_mask.decode(rle).reshape(-1, order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return {"size": rle["size"], "counts": np.diff(np.concatenate([[0], edges])).tolist()}


def document(n_images: int = 5, n_masks: int = 4, seed: int = 0) -> dict:
    """Images 100, 101, … in a folder `val`; annotations in no order, of every kind of segmentation."""
    rng = np.random.default_rng(seed)
    images = [
        {"id": 100 + k, "file_name": f"val/{k:03d}.jpg", "width": WIDTH_PX, "height": HEIGHT_PX}
        for k in range(n_images)
    ]
    annotations = [
        {
            "id": 1 + k,
            "image_id": 100 + k % n_images,
            "category_id": 7 + k % 2,
            "iscrowd": int(k % 4 == 3),
            "bbox": [1, 2, 3.5, 4],
            "area": 12.0,
            "segmentation": segmentation(rng, k // n_images % 4),
        }
        for k in range(n_images * n_masks)
    ]
    categories = [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog ü"}]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def import_coco(lake, *sources, origin=GOLD, images=None, instances=None, shard_size=2, workers=1):
    sources = [str(source) for source in sources]
    plan = coco_import.plan_files(sources, images, lake.root.parent / "plan", instances)
    job = coco_import.start(lake, plan, ", ".join(sources), origin, images, shard_size)
    if not job.run.is_finished:
        job.finish(lake, workers)
    return job


def rows(lake, sql: str) -> list[dict]:
    return lake.query(sql).to_pylist()


def test_every_mask_is_that_of_pycocotools(lake, tmp_path):
    pictures = {f"val/{k:03d}.jpg": jpeg(k) for k in range(5)}
    folder = write_folder(tmp_path / "images", pictures)
    path = write(tmp_path / "ann" / "instances.json", document())
    job = import_coco(lake, path, images=str(folder))
    assert job.n_problems(lake) == 0
    peer = COCO(str(path))
    found = rows(
        lake,
        "SELECT g.*, i.uri, i.sha256, i.source_image_id FROM gold_masks g JOIN images i USING (image_id)",
    )
    assert len(found) == 20
    for row in found:
        theirs = peer.anns[int(row["source_mask_id"])]
        ours = coco_mask.decode({"size": [HEIGHT_PX, WIDTH_PX], "counts": row["rle_counts"].encode()})
        assert np.array_equal(ours, peer.annToMask(theirs))
        assert row["area_px"] == ours.sum()
        assert row["label"] == peer.cats[theirs["category_id"]]["name"]
        assert row["is_crowd"] == bool(theirs["iscrowd"])
        assert row["source_bbox_xywh"] == theirs["bbox"]
        assert row["source_image_id"] == str(theirs["image_id"])
        assert row["uri"] == f"{folder}/{peer.imgs[theirs['image_id']]['file_name']}"
        assert row["sha256"] is not None


def test_gold_has_its_annotator_and_masks_their_stage_and_score(lake, tmp_path):
    content = document()
    content["annotations"][0]["score"] = 0.25
    path = write(tmp_path / "a.json", content)
    import_coco(lake, path)
    import_coco(lake, path, origin=STAGE)
    assert rows(lake, "SELECT DISTINCT annotator, is_anchored FROM gold_masks") == [
        {"annotator": "maria", "is_anchored": False}
    ]
    masks = rows(
        lake, "SELECT stage, cycle, source_mask_id, predicted_iou FROM masks ORDER BY source_mask_id"
    )
    assert {(row["stage"], row["cycle"]) for row in masks} == {("semi_automatic", 2)}
    assert {row["source_mask_id"] for row in masks if row["predicted_iou"] == 0.25} == {"1"}


def test_results_find_their_images_in_the_instances_file(lake, tmp_path):
    content = document()
    instances = write(tmp_path / "instances.json", {**content, "annotations": []})
    keys = ("image_id", "category_id", "segmentation")
    results = [{**{key: a[key] for key in keys}, "score": 0.5} for a in content["annotations"]]
    path = write(tmp_path / "results.json", results)
    job = import_coco(lake, path, origin=STAGE, instances=str(instances))
    assert job.n_problems(lake) == 0
    assert rows(
        lake, "SELECT count(*) AS n, min(predicted_iou) AS score, min(label) AS label FROM masks"
    ) == [{"n": 20, "score": 0.5, "label": "cat"}]


def test_bad_records_are_problems_and_lose_nothing_else(lake, tmp_path):
    content = document()
    annotations, images = content["annotations"], content["images"]
    annotations[0]["segmentation"] = [[1, 1, 5, 5]]
    annotations[1]["segmentation"] = {"size": [WIDTH_PX, HEIGHT_PX], "counts": "abc"}
    annotations[2]["segmentation"] = []
    annotations[3]["category_id"] = 9
    annotations[4]["iscrowd"] = 2
    annotations[5]["image_id"] = 999
    annotations[6]["bbox"] = [1, 2, 3]
    annotations[11]["segmentation"] = None
    annotations.append("nonsense")
    images[4]["width"] = "wide"
    images.append({**images[0]})
    images.append({"id": 105, "file_name": "../../x.jpg", "width": 4, "height": 4})
    path = write(tmp_path / "a.json", content)
    job = import_coco(lake, path)
    found = {
        (row["source"].rpartition("a.json")[2], row["record"]): row["reason"]
        for row in rows(lake, "FROM problems")
    }
    assert set(found) == {
        ("#images[0]", "annotations[0]"),
        ("#images[1]", "annotations[1]"),
        ("#images[2]", "annotations[2]"),
        ("#images[3]", "annotations[3]"),
        ("#images[1]", "annotations[6]"),
        ("#images[1]", "annotations[11]"),
        ("#images[4]", ""),
        ("#images[5]", ""),
        ("#images[6]", ""),
        ("#annotations[5]", ""),
        ("#annotations[20]", ""),
    }
    assert "a box alone is no mask" in found["#images[1]", "annotations[11]"]
    assert "image.width" in found["#images[4]", ""]
    assert "of images[0] too" in found["#images[5]", ""]
    assert job.n_problems(lake) == 11
    kept = rows(
        lake,
        "SELECT i.file_name, list(g.source_mask_id ORDER BY gold_mask_id) AS ids FROM images i JOIN gold_masks g USING (image_id) GROUP BY 1 ORDER BY 1",
    )
    assert kept == [
        {"file_name": "000.jpg", "ids": ["11", "16"]},
        {"file_name": "001.jpg", "ids": ["17"]},
        {"file_name": "002.jpg", "ids": ["8", "13", "18"]},
        {"file_name": "003.jpg", "ids": ["9", "14", "19"]},
    ]


def test_an_image_without_annotations_is_kept(lake, tmp_path):
    content = document(2)
    content["images"].append({"id": 7, "file_name": "empty.jpg", "width": 4, "height": 4})
    import_coco(lake, write(tmp_path / "a.json", content))
    assert rows(lake, "SELECT count(*) AS n FROM images") == [{"n": 3}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([{"image_id": 1, "segmentation": []}], "a bare list came"),
        ({"annotations": []}, "'annotations' came; a COCO file has"),
        ({"image": {}, "annotations": []}, "import them as sa1b"),
        ({"images": [], "annotations": {}}, '"annotations": this is no JSON list'),
        ({"images": [], "annotations": [], "categories": [{"id": 1}]}, r"categories\[0\]"),
    ],
)
def test_files_of_another_kind_are_refused(lake, tmp_path, content, reason):
    with pytest.raises(InputError, match=reason):
        import_coco(lake, write(tmp_path / "a.json", content))


@pytest.mark.parametrize("data", [b"", b"{", b'{"images": [{}', b"\x89PNG"])
def test_damaged_files_are_refused(lake, tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.json"):
        import_coco(lake, tmp_path / "a.json")


def test_one_damaged_file_of_several_takes_nothing_else_with_it(lake, tmp_path):
    folder = tmp_path / "coco"
    folder.mkdir()
    for name, data in (("b.json", b""), ("c.json", b'{"images": [{}'), ("d.json", b'[{"image_id": 1}]')):
        (folder / name).write_bytes(data)
    write(folder / "a.json", document())
    write(folder / "e.json", {"images": [], "annotations": [], "categories": [{"id": 1}]})
    assert import_coco(lake, folder).n_problems(lake) == 4
    assert rows(lake, "SELECT count(*) AS n FROM gold_masks") == [{"n": 20}]
    found = rows(lake, "SELECT source, reason FROM problems ORDER BY source")
    reasons = ["0 bytes", "it was cut short", "a bare list came", r"categories[0]"]
    for row, name, reason in zip(found, "bcde", reasons, strict=True):
        assert row["source"] == str(folder / f"{name}.json")
        assert reason in row["reason"]
        assert str(folder) not in row["reason"]


def test_several_files_a_tar_and_worker_processes_give_the_same_lake(tmp_path):
    contents = {
        f"{k}.json": json.dumps(document(seed=k)).replace("val/", f"val{k}/").encode() for k in range(3)
    }
    folder, tar = write_folder(tmp_path / "coco", contents), write_tar(tmp_path / "coco.tar", contents)
    found = []
    for number, (source, workers) in enumerate([(folder, 1), (folder, 2), (tar, 1)]):
        with Lake.create(tmp_path / f"lake{number}") as lake:
            assert import_coco(lake, source, images="/pictures", workers=workers).n_problems(lake) == 0
            found.append([rows(lake, f"FROM {name} ORDER BY ALL") for name in ("images", "gold_masks")])
    assert len(found[0][1]) == 60
    assert found[0] == found[1] == found[2]


def test_a_file_and_pictures_in_a_bucket(lake, tmp_path, s3_server):
    import boto3

    client = boto3.client("s3", endpoint_url=s3_server)
    client.create_bucket(Bucket="coco")
    client.put_object(Bucket="coco", Key="ann/a.json", Body=json.dumps(document(2)).encode())
    client.put_object(Bucket="coco", Key="pictures/val/000.jpg", Body=jpeg(0))
    import_coco(lake, "s3://coco/ann", images="s3://coco/pictures")
    found = rows(lake, "SELECT uri, sha256 IS NOT NULL AS is_there FROM images ORDER BY 1")
    assert [(row["uri"], row["is_there"]) for row in found] == [
        ("s3://coco/pictures/val/000.jpg", True),
        ("s3://coco/pictures/val/001.jpg", False),
    ]


def test_a_file_that_is_written_anew_in_one_process_is_read_anew(lake, tmp_path):
    path = write(tmp_path / "a.json", document())
    import_coco(lake, path)
    write(path, document(n_images=2, n_masks=1))
    assert import_coco(lake, path).n_problems(lake) == 0
    assert rows(lake, "SELECT count(*) AS n FROM gold_masks") == [{"n": 22}]


def test_the_same_file_finds_its_run_and_a_changed_one_makes_a_new_one(lake, tmp_path):
    path = write(tmp_path / "a.json", document())
    first, again = import_coco(lake, path), import_coco(lake, path)
    assert (first.run.run_id, again.run.is_finished) == (again.run.run_id, True)
    path.write_text(path.read_text().replace("cat", "cow"))  # of the same size
    assert import_coco(lake, path).run.run_id != first.run.run_id


def test_the_commands_import_gold_and_masks(tmp_path):
    path, workspace = write(tmp_path / "a.json", document()), ["--workspace", str(tmp_path / "lake")]
    run = CliRunner().invoke
    assert run(app, ["init", str(tmp_path / "lake")]).exit_code == 0
    gold = run(app, ["gold", "import", "coco", str(path), "--annotator", "maria", "--anchored", *workspace])
    assert (gold.exit_code, "gold of maria: 20 masks of 5 images" in gold.stdout) == (0, True)
    assert run(app, ["import", "coco", str(path), *workspace]).exit_code == 0


@pytest.mark.soak
def test_killed_at_random_moments_nothing_is_lost_or_doubled(tmp_path):
    path = write(tmp_path / "a.json", document(n_images=60, n_masks=6))
    words = ["gold", "import", "coco", str(path), "--annotator", "m", "--from-scratch", "--shard-size", "2"]
    processes.run("gold", "--help")  # the server starts before the time is taken

    def content(workspace: Path) -> list:
        with Lake.open(workspace, read_only=True) as lake:
            return [rows(lake, f"FROM {name} ORDER BY ALL") for name in ("images", "gold_masks", "problems")]

    Lake.create(tmp_path / "whole").close()
    begun = time.monotonic()
    assert processes.run(*words, "--workspace", str(tmp_path / "whole")) == 0
    took_s = time.monotonic() - begun
    Lake.create(tmp_path / "killed").close()
    moments = random.Random(0)
    for _ in range(3):
        process = processes.start(*words, "--workspace", str(tmp_path / "killed"))
        process.join(moments.uniform(0.3, 0.95) * took_s)
        process.kill()
        process.join()
    assert processes.run(*words, "--workspace", str(tmp_path / "killed")) == 0
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
