"""Clicks for the drawing tools: the workspace's model, loaded once a process, and embeddings of the images at hand."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from apps.review import data
from curation.errors import ImageError, InputError
from curation.formats.images import read_image
from curation.generation.models import MODELS, MODELS_FOLDER, LocalModel, locate, trained_path
from curation.generation.prompter import Prompted, Prompter

#: The model that runs anywhere, where the workspace's own is not here.
FALLBACK = "sam2-tiny"
_loading = threading.Lock()
#: One image is encoded at a time: two at once take as long as one after the other, and neither is there early.
_encoding = threading.Lock()
#: Rater -> the image that was last opened. Those that were left before their turn came are not encoded.
_opened: dict[str, int] = {}


@dataclass(frozen=True)
class Assistant:
    """A model that answers clicks, and its name."""

    model: str
    prompter: Prompter


def prepare(rater: str, image_id: int) -> str:
    """Encode the image that a rater opens, so that its first click is fast; the model's name. Raises what `answer` raises."""
    _opened[rater] = image_id
    helper = assistant()
    with _encoding:
        if _opened[rater] == image_id:
            # A click that nobody sees: it encodes the image, and loads what answers clicks.
            helper.prompter.answer(image_id, lambda: _pixels(image_id), [[0, 0]], [1])
    return helper.model


def answer(image_id: int, points: list[list[float]]) -> Prompted:
    """The mask for clicks [x, y, 1 on the object or 0 beside it], in pixels of the picture.

    Raises InputError for clicks that cannot be used or where no model is here, MissingExtraError where its backend is
    not installed, ImageError where the picture cannot be read.
    """
    clicks = np.array(points, np.float64).reshape(-1, 3)
    return assistant().prompter.answer(
        image_id, lambda: _pixels(image_id), clicks[:, :2], clicks[:, 2].astype(np.int32)
    )


def assistant() -> Assistant:
    """The model of this workspace. The first call loads it, the others wait for that."""
    with _loading:
        return _load(data.root())


@lru_cache(maxsize=1)
def _load(_root: Path) -> Assistant:
    model = _workspaces_model() or _model(FALLBACK)
    if model is None:
        raise InputError(
            f"SAM clicks need a model, and {FALLBACK} is not here: fetch it with `curation models fetch {FALLBACK}`"
        )
    return Assistant(model.name, Prompter(model.load()))


def _workspaces_model() -> LocalModel | None:
    """The model of the newest generation, where its very weights are here."""
    with data.lake() as lake:
        found = lake.con.execute(
            "SELECT model, weights_sha256 FROM runs WHERE kind = 'generate' ORDER BY run_id DESC LIMIT 1"
        ).fetchone()
    model = _model(found[0]) if found and found[0] else None
    return model if model and model.sha256 == found[1] else None


def _model(name: str) -> LocalModel | None:
    """A model by name (trained ones too) or path if its weights lie here. Nothing is fetched: a click must not wait for
    gigabytes.
    """
    trained = data.root() / MODELS_FOLDER
    if name in MODELS:
        is_here = MODELS[name].is_there
    else:
        is_here = trained_path(name, trained) is not None or Path(name).expanduser().exists()
    return locate(name, trained=trained) if is_here else None


def _pixels(image_id: int) -> np.ndarray:
    uri = data.picture_uri(image_id)
    if uri is None:
        raise ImageError(f"image {image_id} is in no run of this workspace")
    return read_image(uri).pixels
