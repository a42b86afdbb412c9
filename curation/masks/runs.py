"""`Runs`: a batch of binary masks of one image size, as run lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from curation.errors import RleError

# A side is stored in 16 bits by JPEG, the format of SA-1B; it also bounds the scratch a kernel keeps per column.
MAX_SIDE_PX = 65_535
# Below this a difference of two runs takes at most six characters, which is all that pycocotools' buffers hold,
# and a decoded mask takes at most half a gigabyte. 20,000 x 20,000 px fits.
MAX_IMAGE_PX = 2**29 - 1

Index = int | np.integer | slice | np.ndarray | Sequence[int]


@dataclass(frozen=True, eq=False)
class Runs:
    """N masks of one `height` x `width` image: column-major run lengths, mask after mask.

    `counts` uint32 (total,) and `offsets` int64 (N + 1,): mask i owns counts[offsets[i]:offsets[i + 1]]. Its first
    run is background and may be 0; all other runs are positive (zero-length runs are merged when parsed), and they
    sum to height * width. So equal masks have equal arrays, and `==` compares masks.
    Made by `parse`, `parse_strings`, `encode` and the functions of this package, which all check what comes in.
    """

    height: int
    width: int
    counts: np.ndarray
    offsets: np.ndarray

    @classmethod
    def empty(cls, height: int, width: int) -> Runs:
        """A batch of no masks. Raises RleError for an image size that is not allowed."""
        check_size(height, width)
        return cls(height, width, np.empty(0, np.uint32), np.zeros(1, np.int64))

    @classmethod
    def concat(cls, batches: Sequence[Runs]) -> Runs:
        """One batch of all masks, in order. Raises RleError for no batch or batches of several image sizes."""
        if not batches:
            raise RleError(
                "concat: no batch came; give at least one (Runs.empty(height, width) for no masks)"
            )
        height, width = batches[0].height, batches[0].width
        for number, batch in enumerate(batches):
            require_same_size(batches[0], batch, f"concat: batch {number}")
        starts = np.cumsum([0] + [len(batch.counts) for batch in batches])
        offsets = [batch.offsets[1:] + start for batch, start in zip(batches, starts, strict=False)]
        return cls(
            height,
            width,
            np.concatenate([batch.counts for batch in batches]),
            np.concatenate([np.zeros(1, np.int64), *offsets]),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: Index) -> Runs:
        """Always a batch: `runs[3]` holds one mask. Takes what a NumPy array takes along one axis."""
        n_masks = len(self)
        if isinstance(index, int | np.integer) and not isinstance(index, bool):
            if not -n_masks <= index < n_masks:
                raise IndexError(f"mask {index} of a batch of {n_masks}")
            first = int(index) % n_masks
            return self._span(first, first + 1)
        if isinstance(index, slice) and index.step in (None, 1):
            first, stop, _ = index.indices(n_masks)
            return self._span(first, max(first, stop))
        if not isinstance(index, slice) and len(index) == 0:
            return self._span(0, 0)
        chosen = np.ascontiguousarray(np.arange(n_masks)[index])
        return Runs(self.height, self.width, *_gather(self.counts, self.offsets, chosen))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Runs):
            return NotImplemented
        return (
            (self.height, self.width) == (other.height, other.width)
            and np.array_equal(self.offsets, other.offsets)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None

    def _span(self, first: int, stop: int) -> Runs:
        counts = self.counts[self.offsets[first] : self.offsets[stop]]
        return Runs(self.height, self.width, counts, self.offsets[first : stop + 1] - self.offsets[first])


def check_size(height: object, width: object, where: str = "size") -> None:
    """Raise RleError unless both are true integers from 1 to MAX_SIDE_PX and the image has at most MAX_IMAGE_PX."""
    for name, side in (("height", height), ("width", width)):
        if isinstance(side, bool) or not isinstance(side, int | np.integer):
            raise RleError(f"{where}: {name} is {side!r}; it must be an integer, size = [height, width]")
        if not 1 <= side <= MAX_SIDE_PX:
            raise RleError(
                f"{where}: {name} is {side} px; it must be 1 to {MAX_SIDE_PX:,}, size = [height, width]"
            )
    if int(height) * int(width) > MAX_IMAGE_PX:
        raise RleError(
            f"{where}: {height} x {width} px is {int(height) * int(width):,} pixels; "
            f"at most {MAX_IMAGE_PX:,} are allowed, cut the image into tiles"
        )


def require_same_size(a: Runs, b: Runs, where: str) -> None:
    """Raise RleError unless both batches are of one image size."""
    if (a.height, a.width) != (b.height, b.width):
        raise RleError(
            f"{where} is of {b.height} x {b.width} px where {a.height} x {a.width} px (height x width) is needed; "
            "masks of one image only"
        )


@njit(cache=True, nogil=True)
def _gather(counts, offsets, chosen):
    """The runs of the chosen masks, in that order."""
    new_offsets = np.zeros(len(chosen) + 1, np.int64)
    for k in range(len(chosen)):
        new_offsets[k + 1] = new_offsets[k] + offsets[chosen[k] + 1] - offsets[chosen[k]]
    new_counts = np.empty(new_offsets[-1], np.uint32)
    for k in range(len(chosen)):
        new_counts[new_offsets[k] : new_offsets[k + 1]] = counts[offsets[chosen[k]] : offsets[chosen[k] + 1]]
    return new_counts, new_offsets
