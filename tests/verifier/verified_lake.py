"""A lake whose masks have a known chance of being good, told by gold or by raters, and a method that learns at once."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import ClassVar

import numpy as np

from curation.ids import image_id, mask_id
from curation.lake import Lake
from curation.schemas import TABLES
from curation.verifier.features import COLUMNS, Features
from curation.verifier.methods import Installed

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def fill(
    lake: Lake,
    n_images: int = 12,
    n_masks: int = 20,
    run_id: int = 1,
    cycle: int = 0,
    first_image: int = 0,
    seed: int = 0,
    has_gold: bool = True,
    has_measures: bool = True,
    has_scores: bool = True,
) -> None:
    """A run of images: quality is in solidity; predicted IoU and stability show it dimly; gold says good or bad."""
    rng = np.random.default_rng([seed, run_id])
    names = ("runs", "shards", "images", "masks", "mask_features", "gold_matches")
    rows: dict[str, list[dict]] = {name: [] for name in names}
    rows["runs"].append(run_row(run_id, n_images, cycle))
    rows["shards"].append(done_row(run_id, n_images))
    for number in range(n_images):
        uri = f"/images/{first_image + number}.jpg"
        image = {"run_id": run_id, "image_id": image_id(uri), "width_px": 100, "height_px": 100}
        rows["images"].append({**image, "image_number": number, "uri": uri, "file_name": uri[8:]})
        for index in range(n_masks):
            key = {"run_id": run_id, "mask_id": mask_id(run_id, number, index), "image_id": image["image_id"]}
            quality = float(rng.uniform())
            is_good = bool(rng.uniform() < 1 / (1 + np.exp(-8 * (quality - 0.5))))
            rows["masks"].append(
                {
                    **image,
                    **key,
                    "mask_index": index,
                    "stage": "fully_automatic",
                    "cycle": cycle,
                    "area_px": int(rng.choice([500, 5_000])),
                    "bbox_xywh": [int(rng.choice([0, 20])), 20, 50, 50],
                    "predicted_iou": 0.7 + 0.1 * quality + 0.2 * float(rng.uniform()) if has_scores else None,
                    "stability_score": 0.8 + 0.2 * float(rng.uniform()) if has_scores else None,
                    "is_crowd": False,
                    "rle_counts": "",
                }
            )
            if has_measures:
                rows["mask_features"].append({**key, **features_row(quality)})
            if has_gold:
                iou = 0.9 + 0.1 * quality if is_good else 0.8 * quality
                rows["gold_matches"].append({**key, **gold_row(iou, is_good)})
    lake.append({name: TABLES[name].table(of) for name, of in rows.items() if of}, "masks")


def run_row(run_id: int, n_images: int, cycle: int) -> dict:
    return {
        "run_id": run_id,
        "run_key": str(run_id),
        "kind": "generate",
        "source": "test",
        "stage": "fully_automatic",
        "cycle": cycle,
        "settings": "{}",
        "image_set_sha256": "0" * 64,
        "n_images": n_images,
        "versions": "{}",
        "started_at": START,
        "finished_at": START,
    }


def done_row(run_id: int, n_images: int) -> dict:
    """The shard of `shards` that says the masks of a run are there, as `score` looks for it."""
    return {
        "run_id": run_id,
        "work": "generate",
        "shard": "0000000000",
        "first_image": 0,
        "stop_image": n_images,
        "n_images": n_images,
        "n_masks": 0,
        "n_problems": 0,
        "took_s": 0.0,
        "finished_at": START,
    }


def features_row(quality: float) -> dict:
    sides = {f"touches_{side}": False for side in ("left", "top", "right", "bottom")}
    return {
        **sides,
        "area_px": 500,
        "bbox_xywh": [0, 0, 10, 10],
        "image_share": 0.05,
        "relative_size": 0.22,
        "n_borders_touched": 0,
        "n_components": 1,
        "largest_component_px": 500,
        "n_holes": 0,
        "holes_px": 0,
        "perimeter_px": 100,
        "hull_area_px": 600.0,
        "solidity": quality,
    }


def gold_row(iou: float, is_good: bool) -> dict:
    return {
        "gold_run_id": 90,
        "best_gold_mask_id": 1,
        "gold_iou": iou,
        "gold_boundary_iou": iou,
        "score_rank": 0,
        "coco_matched": 0,
        "coco_ignored": 0,
        "error_kind": "none" if is_good else "partial",
    }


def judge(
    lake: Lake,
    said: dict[int, dict[str, str]],
    sample: str = "s",
    at: datetime = START,
    rating: int | None = None,
) -> None:
    """Verdicts: mask -> rater -> decision."""
    masks = {
        row["mask_id"]: row for row in lake.query("SELECT mask_id, run_id, image_id FROM masks").to_pylist()
    }
    rows = [
        {
            **masks[mask],
            "verdict_id": str(uuid.uuid4()),
            "sample": sample,
            "rater": rater,
            "purpose": "review",
            "decision": decision,
            "rating": rating,
            "reasons": [],
            "took_s": 1.0,
            "given_at": at + timedelta(seconds=k),
            "committed_at": at + timedelta(seconds=k),
        }
        for mask, given in said.items()
        for k, (rater, decision) in enumerate(given.items())
    ]
    lake.append({"verdicts": TABLES["verdicts"].table(rows)}, "verdicts")


def score_rows(verifier: str, scores: dict[tuple[int, int, int], float]) -> list[dict]:
    """Rows of `verifier_scores`: (run_id, mask_id, image_id) -> score."""
    return [
        {
            "run_id": run,
            "mask_id": mask,
            "image_id": image,
            "verifier": verifier,
            "score": score,
            "is_held_out": True,
        }
        for (run, mask, image), score in scores.items()
    ]


@dataclass(frozen=True)
class Threshold:
    """What `Line` learned: a straight line over solidity, or all alike where it is not known."""

    slope: float
    offset: float

    def score(self, features: Features) -> np.ndarray:
        solidity = np.nan_to_num(features.column("solidity"), nan=0.5)
        return 1 / (1 + np.exp(-(self.offset + self.slope * solidity.astype(np.float64))))


class Line:
    """A method that needs no package: the mean solidity of good and of bad masks."""

    settings: ClassVar = {"column": "solidity"}

    def fit(self, features: Features, is_good: np.ndarray, image_id: np.ndarray, seed: int) -> Threshold:
        solidity = np.nan_to_num(features.column("solidity"), nan=0.5).astype(np.float64)
        good, bad = solidity[is_good].mean(), solidity[~is_good].mean()
        slope = 10 * (good - bad)
        return Threshold(float(slope), float(-slope * (good + bad) / 2))

    def dump(self, fitted: Threshold) -> bytes:
        return f"{fitted.slope!r} {fitted.offset!r}".encode()

    def load(self, data: bytes) -> Threshold:
        return Threshold(*map(float, data.split()))


LINE = Installed("line", Line(), Line.settings, {})

_PLUGIN = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from verified_lake import Line

class NoLoad:
    def fit(self): ...
    def dump(self): ...

class Broken(Line):
    def fit(self, *args):
        return self
    def score(self, features):
        return [2.0] * len(features)
"""


def install_plugin(folder: Path, monkeypatch) -> None:
    """A package with entry points, as pip would have installed it, on the path of this process and of its children."""
    (folder / "line_verifier.py").write_text(_PLUGIN)
    info = folder / "line_verifier-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: line-verifier\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[curation.verifiers]\nline = line_verifier:Line\nnoload = line_verifier:NoLoad\nbroken = line_verifier:Broken\n"
        "lost = line_verifier:Lost\n"
    )
    monkeypatch.syspath_prepend(str(folder))


def features_of(solidity: np.ndarray, n_dims: int = 0) -> Features:
    """Features of masks of which only solidity is known."""
    values = np.full((len(solidity), len(COLUMNS)), np.nan, np.float32)
    values[:, list(COLUMNS).index("solidity")] = solidity
    return Features(tuple(COLUMNS), values, np.full((len(solidity), n_dims), np.nan, np.float32))
