"""What the encoder made of each image, kept on disk: it is frozen, so every training of a model needs it once."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curation.errors import ImageError, InputError
from curation.formats.images import read_image
from curation.settings import cache_dir
from curation.training.targets import TargetImage
from curation.whole_files import write_whole

#: What the decoder takes from the encoder, by name; float16 (1, C, rows, columns) each.
Features = dict[str, np.ndarray]
_LARGEST = np.finfo(np.float16).max
#: A file name says which image by this many hex digits of its hash: no two of a billion images share them.
_DIGITS = 32


@dataclass(frozen=True)
class EmbeddingCache:
    """Embeddings by one encoder. One image of sam2-tiny takes 8.4 MB, one of a ViT 2.1 MB.

    A file is there whole or not at all. Beyond `max_gb` those of other trainings go, the longest unused first.
    """

    encoder_sha256: str
    max_gb: float

    @property
    def folder(self) -> Path:
        return cache_dir() / "embeddings" / self.encoder_sha256[:16]

    def fill(
        self,
        images: list[TargetImage],
        embed: Callable[[np.ndarray], Features],
        on_done: Callable[[int, int], None],
    ) -> dict[int, InputError]:
        """Embed the images that are not there yet; `on_done` gets how many are there, of how many.

        Gives the error of each image that cannot be read or has changed, by image id. Raises InputError where the
        images do not fit into `max_gb`.
        """
        errors: dict[int, InputError] = {}
        for number, image in enumerate(images, start=1):
            path = self._path(image)
            if path.is_file():
                os.utime(path)  # used now: others go first
            else:
                try:
                    write_whole(path, _packed(embed(_pixels(image))))
                except ImageError as error:
                    errors[image.image_id] = error
                self._make_room(images, number)
            on_done(number, len(images))
        return errors

    def read(self, image: TargetImage) -> Features:
        with np.load(self._path(image)) as arrays:
            return dict(arrays)

    def size_mb(self, images: list[TargetImage]) -> float:
        """What the embeddings of these images take on disk."""
        return sum(path.stat().st_size for path in map(self._path, images) if path.is_file()) / 1e6

    def _path(self, image: TargetImage) -> Path:
        key = image.sha256[:_DIGITS] if image.sha256 else f"id-{image.image_id:x}"
        return self.folder / f"{key}.npz"

    def _make_room(self, images: list[TargetImage], n_done: int) -> None:
        mine = {self._path(image) for image in images}
        files = {path: path.stat() for path in self.folder.parent.glob("*/*.npz")}
        excess = sum(stat.st_size for stat in files.values()) - self.max_gb * 1e9
        for path in sorted(files.keys() - mine, key=lambda path: files[path].st_mtime):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= files[path].st_size
        if excess > 0:
            raise InputError(
                f"{self.folder}: {n_done} of {len(images)} embeddings fill the {self.max_gb:g} GB that are allowed; "
                "allow more with --cache-gb, or train on fewer images"
            )


def _pixels(image: TargetImage) -> np.ndarray:
    found = read_image(image.uri)
    came = (found.width_px, found.height_px)
    if came != (image.width_px, image.height_px) or image.sha256 not in (None, found.sha256):
        raise ImageError(
            f"{image.uri}: the file has changed since its run ({came[0]} x {came[1]} px, SHA-256 {found.sha256[:12]}…); "
            "its masks belong to the old picture, put that back"
        )
    return found.pixels


def _packed(features: Features) -> bytes:
    buffer = io.BytesIO()
    half = {name: np.clip(array, -_LARGEST, _LARGEST).astype(np.float16) for name, array in features.items()}
    np.savez(buffer, **half)
    return buffer.getvalue()
