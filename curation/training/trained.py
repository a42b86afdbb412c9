"""Trained models of a workspace: their folder, what stands beside the weights, and their row in the lake."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from curation import runs
from curation.errors import InputError
from curation.generation.models import MODELS_FOLDER, TRAINED_FILE, locate
from curation.lake import Lake, insert
from curation.schemas import TABLES
from curation.training.request import Trained

#: Provenance besides the columns of `trained_models`: it stands in the file alone.
_FILE_ONLY = ("key", "published_base", "looks")


def folder(lake: Lake) -> Path:
    return lake.root / MODELS_FOLDER


def finished(lake: Lake, name: str, key: str) -> Trained | None:
    """The model of this name where the same training has made it; None where there is none yet.

    Raises InputError where another training has.
    """
    path = folder(lake) / name
    if not path.exists():
        return None
    with suppress(OSError, ValueError):
        about = json.loads((path / TRAINED_FILE).read_text())
        if about["key"] == key:
            _add_row(lake, about)
            return _told(path, about, is_resumed=True)
    raise InputError(
        f"model {name!r} is there already ({path}), and was trained from something else: choose another name"
    )


def publish(lake: Lake, name: str, save: Callable[[Path], None], about: dict) -> Trained:
    """Put the weights that `save` writes under the model's name, whole or not at all, and add its row."""
    path = folder(lake) / name
    unfinished = folder(lake) / f".{name}-{uuid4().hex[:8]}"
    unfinished.mkdir(parents=True)
    try:
        save(unfinished)
        about = about | {
            "model": name,
            "weights_sha256": locate(str(unfinished)).sha256,
            "path": str(path.relative_to(lake.root)),
            "versions": runs.package_versions() | {"onnx": version("onnx")},
            "trained_at": datetime.now(timezone.utc).isoformat(),
        }
        (unfinished / TRAINED_FILE).write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")
        _take_name(unfinished, path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _add_row(lake, about)
    return _told(path, about, is_resumed=False)


def _take_name(unfinished: Path, path: Path) -> None:
    try:
        os.rename(unfinished, path)
    except OSError as error:
        if not path.exists():
            raise
        raise InputError(
            f"model {path.name!r}: another training took the name meanwhile ({path}): choose another name"
        ) from error


def _add_row(lake: Lake, about: dict) -> None:
    """The row of a model, where it is not there yet: a kill may have come between the files and the row."""
    row = {name: value for name, value in about.items() if name not in _FILE_ONLY}
    row["settings"] = json.dumps(row["settings"], sort_keys=True)
    row["versions"] = json.dumps(row["versions"], sort_keys=True)
    row["trained_at"] = datetime.fromisoformat(row["trained_at"])

    def work(con) -> None:
        if not con.execute("SELECT 1 FROM trained_models WHERE model = ?", [row["model"]]).fetchone():
            insert(con, {"trained_models": TABLES["trained_models"].table([row])})

    lake.commit(work, f"model {row['model']} trained")


def _told(path: Path, about: dict, is_resumed: bool) -> Trained:
    names = (
        "model",
        "n_train_images",
        "n_train_masks",
        "n_held_out_images",
        "iou_before",
        "iou_after",
        "n_steps",
    )
    return Trained(path=path, took_s=about["took_s"], is_resumed=is_resumed, **{n: about[n] for n in names})
