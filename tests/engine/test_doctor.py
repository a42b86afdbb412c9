"""The doctor: a sound lake has no finding, every damage is found and told, and only what can be computed again is mended."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from curation import runs
from curation.cli import app
from curation.engine import doctor, doctor_installation
from curation.engine.doctor_finding import Finding
from curation.lake import Lake
from curation.masks import encode
from curation.measures import schedule
from curation.measures.work import measure
from curation.schemas import TABLES
from curation.shards import Result, Shard
from curation.shards import run as run_shards
from tests import lakes

N_IMAGES = 3


def imported(shard: Shard) -> Result:
    """Each image has three rectangles, in a picture that has a file."""
    images, masks = [], []
    for number in range(shard.first, shard.stop):
        image = lakes.image_row(shard.run_id, number) | {"size_bytes": 4, "sha256": "0" * 64}
        pixels = np.zeros((3, 6, 8), bool)
        pixels[0, 1:3, 1:4] = pixels[1, 2:5, 2:7] = pixels[2, :2, :2] = True
        images.append(image)
        masks += lakes.mask_rows(shard.run_id, number, image, encode(pixels))
    tables = {"images": TABLES["images"].table(images), "masks": TABLES["masks"].table(masks)}
    return Result(tables, len(images), len(masks))


@pytest.fixture(scope="module")
def sound(tmp_path_factory, empty_workspace):
    """A measured run whose pictures lie in the folder `pictures`."""
    root = tmp_path_factory.mktemp("doctor") / "workspace"
    shutil.copytree(empty_workspace, root)
    pictures = root / "pictures"
    pictures.mkdir()
    with Lake.open(root) as lake:
        run = runs.start(lake, lakes.spec(n_images=N_IMAGES))
        run_shards(lake, imported, [Shard(run.run_id, "import", "0000000000", 0, N_IMAGES)])
        runs.finish(lake, run.run_id)
        measure(lake, schedule.measure_shards(lake, run.run_id))
        for number in range(N_IMAGES):
            (pictures / f"{number}.jpg").write_bytes(b"1234")
        lake.commit(
            lambda con: con.execute(
                "UPDATE images SET uri = $folder || '/' || image_number || '.jpg'", {"folder": str(pictures)}
            ),
            "pictures",
        )
    return root


@pytest.fixture
def workspace(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "workspace")
    return tmp_path / "workspace"


def by_kind(found: list[Finding]) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for finding in found:
        counts[finding.check, finding.table] = counts.get((finding.check, finding.table), 0) + finding.n
    return counts


#: SQL of a damage -> check, table and number of rows that it is found by, and words of the finding.
DAMAGES = (
    ("UPDATE masks SET bbox_xywh = [0, 0, 2] WHERE mask_index = 2", ("contract", "masks", 3), "another length than 4"),
    (
        "UPDATE image_coverage SET covered_share = 1.5 WHERE image_id % 1 = 0",
        ("contract", "image_coverage", 3),
        "covered_share is more than 1",
    ),
    (
        "UPDATE image_coverage SET mean_depth = 'NaN'::DOUBLE",
        ("contract", "image_coverage", 3),
        "mean_depth is NaN",
    ),
    ("UPDATE masks SET stage = 'third'", ("contract", "masks", 9), "stage is none of assisted_manual"),
    ("UPDATE masks SET area_px = area_px + 1 WHERE mask_index = 0", ("mask", "masks", 3), "area_px is not"),
    ("UPDATE masks SET bbox_xywh = [0, 0, 1, 1] WHERE mask_index = 1", ("mask", "masks", 3), "tight box"),
    ("UPDATE masks SET rle_counts = 'no RLE' WHERE mask_index = 1", ("mask", "masks", 3), "cannot be read"),
    (
        "UPDATE masks SET rle_counts = '`1', area_px = 0, bbox_xywh = [0, 0, 0, 0] WHERE mask_index = 1",
        ("mask", "masks", 3),
        "it has no pixel",
    ),
    ("UPDATE images SET width_px = 9", ("mask", "masks", 9), "its size is not that of its image"),
    ("INSERT INTO masks SELECT * FROM masks WHERE mask_index = 0", ("contract", "masks", 3), "in several rows"),
    ("DELETE FROM mask_features WHERE image_id = (SELECT min(image_id) FROM images)", ("measure", "mask_features", 3), "3 masks of measured shards have no measures"),
    ("DELETE FROM masks WHERE mask_index = 0", ("link", "mask_features", 3), "a mask that is not there"),
    ("DELETE FROM images WHERE image_number = 0", ("link", "masks", 3), "an image of its run that is not there"),
    ("UPDATE images SET uri = uri || 'x' WHERE image_number = 0", ("image", "images", 1), "its file is missing"),
    ("UPDATE images SET size_bytes = 5", ("image", "images", 3), "another size"),
    ("UPDATE runs SET n_images = 9", ("run", "shards", 6), "said to be finished"),
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=[words for _, _, words in DAMAGES])
def test_every_damage_is_found(workspace, damage):
    sql, (check, table, n), words = damage
    with Lake.open(workspace) as lake:
        lake.con.execute(sql)
        found = [f for f in doctor.examine(lake) if (f.check, f.table) == (check, table) and words in f.found]
    assert [f.n for f in found] == [n]
    assert found[0].is_problem


def test_a_sound_lake_has_no_finding_and_is_not_written_to(workspace):
    with Lake.open(workspace, read_only=True) as lake:
        version = lake.version()
        assert doctor.examine(lake) == []
        assert lake.version() == version


def test_what_can_be_computed_again_is_mended_and_nothing_else(workspace):
    with Lake.open(workspace) as lake:
        lake.con.execute("DELETE FROM masks WHERE mask_index = 0")
        lake.con.execute(
            "UPDATE mask_features SET area_px = 1 WHERE mask_id = (SELECT max(mask_id) FROM masks)"
        )
        mended = doctor.mend(lake, doctor.examine(lake))
        assert {(f.check, f.table) for f, _ in mended} >= {
            ("link", "mask_features"),
            ("measure", "mask_features"),
        }
        run_id = runs.latest(lake, "import")
        measure(lake, schedule.measure_shards(lake, run_id))
        assert doctor.examine(lake) == []
        lake.con.execute(
            "INSERT INTO verdicts BY NAME SELECT 'v' AS verdict_id, 1 AS mask_id, 1 AS run_id, 1 AS image_id, 'a' AS rater, "
            "'image' AS purpose, 'accept' AS decision, []::VARCHAR[] AS reasons, 1 AS took_s, now() AS given_at, now() AS committed_at"
        )
        found = doctor.examine(lake)
        assert by_kind(found) == {("link", "verdicts"): 1}
        assert doctor.mend(lake, found) == []


def test_embeddings_of_other_weights_are_told(workspace):
    with Lake.open(workspace) as lake:
        spec = lakes.spec(kind="generate", model="sam2-tiny", weights_sha256="0" * 64, n_images=0)
        run_id = runs.start(lake, spec).run_id
        runs.finish(lake, run_id)
        row = {"run_id": run_id, "mask_id": run_id << 47, "n_dims": 2, "embedding": b"abc"}
        lake.append({"mask_embeddings": TABLES["mask_embeddings"].table([row])}, "embedding")
        told = {f.found: f.is_problem for f in doctor.examine(lake) if f.check == "embedding"}
    assert len(told) == 2
    assert any("not n_dims values" in words and is_problem for words, is_problem in told.items())
    assert any("sam2-tiny now has" in words and not is_problem for words, is_problem in told.items())


def test_a_missing_data_file_is_named_and_ends_no_other_check(workspace):
    next(workspace.glob("data/**/mask_features/**/*.parquet")).unlink()
    with Lake.open(workspace, read_only=True) as lake:
        found = doctor.examine(lake)
    assert any(f.check == "file" and f.table == "mask_features" and "is missing" in f.found for f in found)
    assert any("could not be done" in f.found for f in found)


def test_the_command_tells_as_json_and_ends_with_one_on_problems(workspace, monkeypatch):
    monkeypatch.setattr(
        doctor_installation, "examine", lambda: iter([doctor_installation.Part("x", "there", "1")])
    )
    sound = CliRunner().invoke(app, ["doctor", "--workspace", str(workspace), "--json"])
    assert sound.exit_code == 0, sound.output
    with Lake.open(workspace) as lake:
        lake.con.execute("DELETE FROM masks WHERE mask_index = 0")
    damaged = CliRunner().invoke(app, ["doctor", "--workspace", str(workspace), "--json", "--fix"])
    told = json.loads(damaged.stdout)
    assert damaged.exit_code == 0, damaged.output
    assert {row["n_mended"] for row in told["workspace"] if row["table"] == "mask_features"} == {3}


def test_missing_parts_say_what_they_cost_and_how_to_get_them(monkeypatch, tmp_path):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name in ("ray", "torch", "onnxruntime", "fiftyone") else real(name),
    )
    monkeypatch.setenv("CURATION_CACHE", str(tmp_path))
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    parts = {part.part: part for part in doctor_installation.examine()}
    assert parts["DuckDB extension ducklake"].state == doctor_installation.THERE
    missing = [part for part in parts.values() if part.state == doctor_installation.MISSING]
    assert {"extra scale", "extra sam", "MongoDB", "model sam2-tiny", "GPU for torch"} <= {
        p.part for p in missing
    }
    assert all(part.costs and part.get for part in missing)
    assert not any(part.is_problem for part in parts.values())


def test_a_damaged_model_and_a_silent_mongodb_are_problems(monkeypatch, tmp_path):
    monkeypatch.setenv("CURATION_CACHE", str(tmp_path))
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://127.0.0.1:1")
    model = doctor_installation.MODELS["vit_b"]
    model.folder.mkdir(parents=True)
    model.paths[0].write_bytes(b"other")
    part = doctor_installation._model(model)
    assert part.is_problem
    assert "another SHA-256" in part.detail
    assert doctor_installation._mongodb().is_problem
