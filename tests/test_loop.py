"""The whole loop on a small workspace, as commands: masks come in, people judge some, a failing cluster is found, sent back,
corrected and proven better; a verifier routes; the model learns from the corrections and makes masks anew; the cycles
are compared, the gate is asked, and the state is released.

The annotator is the gold. The masks are gold too, but most of those that touch the border, and a few others,
slipped down.
"""

import json
import re
from pathlib import Path
from uuid import uuid4

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

from curation import masks
from curation.cli import app
from curation.formats.sa1b import write_record
from curation.lake import Lake
from curation.review import queue
from curation.review.verdicts import Verdict, give

HEIGHT, WIDTH, N_IMAGES, N_MASKS = 96, 128, 60, 6


def objects(rng: np.random.Generator) -> np.ndarray:
    """Ellipses, two of which lie over the left and the right border, bool (N_MASKS, HEIGHT, WIDTH)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    centres = np.stack([rng.uniform(20, HEIGHT - 20, N_MASKS), rng.uniform(30, WIDTH - 30, N_MASKS)], axis=1)
    centres[:2, 1] = 2, WIDTH - 3
    radii = rng.uniform(9, 15, (N_MASKS, 2))
    return np.array(
        [
            ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1
            for (cy, cx), (ry, rx) in zip(centres, radii, strict=True)
        ]
    )


def slipped(mask: np.ndarray) -> np.ndarray:
    """Half its height lower than it lies."""
    height = mask.any(axis=1).sum()
    down = np.zeros_like(mask)
    down[height // 2 :] = mask[: HEIGHT - height // 2]
    return down


def record(number: int, shapes: np.ndarray, scores: np.ndarray) -> dict:
    runs = masks.encode(shapes)
    annotations = [
        {
            "id": 100 * number + k,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts},
            "bbox": [float(value) for value in box],
            "area": area,
            "predicted_iou": score,
            "stability_score": 0.95,
            "crop_box": [0, 0, WIDTH, HEIGHT],
            "point_coords": [[1.0, 1.0]],
        }
        for k, (counts, area, box, score) in enumerate(
            zip(
                masks.to_strings(runs),
                masks.areas(runs).tolist(),
                masks.boxes(runs).tolist(),
                scores.tolist(),
                strict=True,
            )
        )
    ]
    image = {"image_id": number, "width": WIDTH, "height": HEIGHT, "file_name": f"{number}.png"}
    return {"image": image, "annotations": annotations}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """`pictures/` with their gold, and `masks/`."""
    root = tmp_path_factory.mktemp("loop")
    for name in ("pictures", "masks"):
        (root / name).mkdir()
    rng = np.random.default_rng(3)
    for number in range(N_IMAGES):
        shapes = objects(rng)
        pixels = rng.integers(20, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        for shape in shapes:
            pixels[shape] = rng.integers(80, 255, 3)
        PIL.Image.fromarray(pixels).save(root / "pictures" / f"{number}.png")
        write_record(root / "pictures" / f"{number}.json", record(number, shapes, np.ones(N_MASKS)))
        is_bad = rng.random(N_MASKS) < np.where(np.arange(N_MASKS) < 2, 0.8, 0.1)
        found = np.array(
            [slipped(shape) if bad else shape for shape, bad in zip(shapes, is_bad, strict=True)]
        )
        scores = rng.uniform(0.75, 1, N_MASKS) - 0.15 * is_bad
        write_record(root / "masks" / f"{number}.json", record(number, found, scores))
    return root


@pytest.fixture(scope="module")
def checkpoint(folders) -> Path:
    """A SAM with random weights, small enough to train here."""
    torch = pytest.importorskip("torch", reason='pip install "curation[train]"')
    from tests.generation.networks import small_sam

    path = folders / "small.pth"
    torch.save(small_sam(side=8).state_dict(), path)
    return path


def judge(root: Path, sample: str) -> None:
    """Ann looks at the gold, and says what she sees of every mask of the sample."""
    with Lake.open(root) as lake:
        good = dict(lake.con.execute("SELECT mask_id, error_kind = 'none' FROM gold_matches").fetchall())
        while tasks := queue.next_tasks(lake, "ann", sample, 20):
            said = [
                Verdict(
                    str(uuid4()),
                    "ann",
                    "accept" if good[task.mask_id] else "fix",
                    task_id=task.task_id,
                    took_s=3.0,
                )
                for task in tasks
            ]
            assert not give(lake, said).refused


def corrected(root: Path, sent: Path) -> Path:
    """The file that went out, with each mask as the gold has it."""
    document = json.loads((sent / "annotations.json").read_text())
    with Lake.open(root, read_only=True) as lake:
        gold = dict(
            lake.con.execute("""
                SELECT matches.mask_id, encode(gold_masks.rle_counts)
                FROM gold_matches AS matches
                INNER JOIN gold_masks ON gold_masks.gold_mask_id = matches.best_gold_mask_id
            """).fetchall()
        )
    for annotation in document["annotations"]:
        annotation["segmentation"]["counts"] = gold[int(annotation["mask_id"])].decode()
    path = sent / "corrected.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_masks_to_a_release_of_better_ones(folders, checkpoint, monkeypatch):
    root = folders / "workspace"
    monkeypatch.setenv("CURATION_WORKSPACE", str(root))
    monkeypatch.setenv("COLUMNS", "200")

    def curation(words: str, *more: object, exits: int = 0) -> str:
        command = [*words.split(), *map(str, more)]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == exits, f"{command}\n{done.output}\n{done.exception!r}"
        return re.sub(r"\s+", " ", done.output)

    # Masks come in, and are held against gold.
    curation("init", root)
    curation("cycle open --stage semi_automatic")
    curation("import sa1b", folders / "masks", "--images", folders / "pictures", "--stage", "semi_automatic")
    curation("gold import sa1b", folders / "pictures", "--annotator", "ann", "--from-scratch")
    curation("measure")
    curation("gold match")
    curation("tag before")

    # People judge some of them.
    curation("sample draw look --design srs --size 80")
    judge(root, "look")
    assert "accept" in curation("sample estimate look")

    # A cluster fails; it is sent back, corrected, merged, and proven better.
    curation("failures find")
    with Lake.open(root, read_only=True) as lake:
        (found,) = lake.query(
            "SELECT cluster, words, n_bad, q_value FROM clusters ORDER BY p_value LIMIT 1"
        ).to_pylist()
    assert "border" in found["words"]
    assert 50 < found["n_bad"] < 150  # 96 of 120 on average
    assert found["q_value"] < 0.01
    sheet = folders / "cluster.png"
    curation("failures sheet", found["cluster"], sheet)
    assert PIL.Image.open(sheet).width > 400
    curation("batch open mend --cluster", found["cluster"], "--annotators", "ann")
    curation("batch export mend", folders / "sent")
    said = curation("batch merge mend", corrected(root, folders / "sent"), "--annotator", "ann")
    assert "masks corrected" in said
    assert f"cluster {found['cluster']} is fixed" in curation("batch prove mend --max-bad 0.1")
    assert "fixed" in curation("failures list --status fixed")
    assert "superseded" in curation("diff before now")

    # A verifier learns which masks are good, and routes.
    curation("verifier fit judge")
    curation("verifier score judge")
    assert "AUC" in curation("verifier card judge")
    curation("route --max-bad 0.2 --name first --verifier judge")

    # The model learns from the corrections, makes masks anew, and the cycles are compared.
    curation("train better --model", checkpoint, "--from", "corrected,gold", "--steps", 2, "--device", "cpu")
    curation("cycle close --stage semi_automatic")
    curation("cycle open --stage semi_automatic --model better")
    settings = ("points_per_side=3", "predicted_iou_threshold=0.3", "stability_threshold=0.1")
    curation(
        "generate", folders / "pictures", "--model", "better", "--device", "cpu",
        "--stage", "semi_automatic", "--cycle", 1, *(word for text in settings for word in ("--set", text)),
    )  # fmt: skip
    curation("gold match")
    curation("cycle close --stage semi_automatic")
    with Lake.open(root, read_only=True) as lake:
        closed = lake.query("SELECT cycle, model, figures FROM cycles WHERE event = 'close' ORDER BY cycle")
    assert closed["cycle"].to_pylist() == [0, 1]
    assert all(json.loads(text) for text in closed["figures"].to_pylist())
    assert "cannot tell yet" in curation("stage status") or "not met" in curation("stage status")

    # The state is released, and stays as it is.
    curation("release spring --note", "for the test")
    assert "spring" in curation("verify-release spring")
    data_card = next((root / "releases" / "spring").glob("*.md"))
    data_card.write_text(data_card.read_text() + "better than it was\n")
    assert data_card.name in curation("verify-release spring", exits=1)
