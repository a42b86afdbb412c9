"""What the picture shows along each mask's boundary and on both sides of it."""

import numpy as np
import pyarrow as pa
from numba import njit

from curation.errors import ImageError
from curation.masks import boxes, decode
from curation.measures.columns import lists
from curation.measures.image import ImageMasks
from curation.schemas import TABLES

#: Width of the bands on both sides of the boundary, and how far around it stronger edges are looked for. Wider than
#: the two pixels that an edge is blurred over, narrower than most of what stands beside an object.
BAND_PX = 3
#: Share of red, green and blue in grey (ITU-R BT.601, as Pillow and OpenCV take it).
GREY_SHARES = np.array([0.299, 0.587, 0.114], np.float32)
LARGEST_DISTANCE = 255 * np.sqrt(3)


def appearance(image: ImageMasks, pixels: np.ndarray) -> pa.Table:
    """One row of `mask_appearance` a mask, in order, for the upright RGB picture, uint8 (H, W, 3).

    The bands hold the pixels at most BAND_PX (in x and in y) from the other side of the boundary; the image's border
    is no boundary. Every value is null where a mask has no boundary inside the image. Raises ImageError where the
    picture has another size or form.

    - `boundary_contrast`: Euclidean distance of the two bands' mean RGB over that of black and white.
    - `sharpness_inside`, `sharpness_outside`: variance of the Laplacian of grey values in a band (a focus measure;
      Pech-Pacheco et al. 2000). Neighbours across the boundary are left out, so that its own edge does not count.
    - `edge_alignment`: sum over the boundary's pixels of the gradient there, over the sum of the largest gradient
      within BAND_PX; so 1 where no stronger edge runs beside the boundary, and clear edges count more than
      flat regions. The gradient is Sobel's of grey values, and that of a boundary pixel the larger one of it and its
      neighbours across. 0 for a picture without any edge there.
    """
    if pixels.shape != (image.height_px, image.width_px, 3) or pixels.dtype != np.uint8:
        raise ImageError(
            f"picture: {pixels.dtype} {pixels.shape} came; it must be uint8 {(image.height_px, image.width_px, 3)}, as "
            "the image is stored (height, width, RGB); put the picture there that the masks were drawn on"
        )
    grey = _grey(pixels)
    gradient = _gradient(grey)
    values = np.empty((len(image), 14))
    for index, (x, y, w, h) in enumerate(boxes(image.runs).tolist()):
        margin = BAND_PX + 1
        x0, y0 = max(x - margin, 0), max(y - margin, 0)
        x1, y1 = min(x + w + margin, image.width_px), min(y + h + margin, image.height_px)
        mask = decode(image.runs[index], (x0, y0, x1 - x0, y1 - y0))[0]
        _measure(mask, _at_boundary(mask), x0, y0, pixels, grey, gradient, values[index])
    return _table(image, values)


def _at_boundary(mask: np.ndarray) -> np.ndarray:
    """Flat indexes of the pixels of a crop (h, w) that have a neighbour on the other side of the boundary, rising."""
    is_at = np.zeros_like(mask)
    beside, below = mask[:, 1:] ^ mask[:, :-1], mask[1:] ^ mask[:-1]
    is_at[:, 1:] |= beside
    is_at[:, :-1] |= beside
    is_at[1:] |= below
    is_at[:-1] |= below
    return np.flatnonzero(is_at)


def _table(image: ImageMasks, values: np.ndarray) -> pa.Table:
    inside, outside, aligned, strongest = values[:, :6], values[:, 6:12], values[:, 12], values[:, 13]
    has_none = (inside[:, 0] == 0) | (outside[:, 0] == 0)
    rgb_inside, sharpness_inside = _means(inside)
    rgb_outside, sharpness_outside = _means(outside)
    contrast = np.minimum(np.linalg.norm(rgb_inside - rgb_outside, axis=1) / LARGEST_DISTANCE, 1)
    columns = {
        "run_id": np.full(len(image), image.run_id),
        "mask_id": image.mask_ids,
        "image_id": np.full(len(image), image.image_id),
        "mean_rgb_inside": lists(rgb_inside, has_none),
        "mean_rgb_outside": lists(rgb_outside, has_none),
        "boundary_contrast": pa.array(contrast, mask=has_none),
        "sharpness_inside": pa.array(sharpness_inside, mask=has_none),
        "sharpness_outside": pa.array(sharpness_outside, mask=has_none),
        "edge_alignment": pa.array(aligned / np.where(strongest == 0, 1, strongest), mask=has_none),
    }
    return pa.table(columns, TABLES["mask_appearance"].arrow)


def _means(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean RGB (N, 3) and variance of the Laplacian (N,) from `_measure`'s sums over a band, (N, 6)."""
    means = sums[:, 1:] / np.maximum(sums[:, :1], 1)
    return means[:, :3], np.maximum(means[:, 4] - means[:, 3] ** 2, 0)


@njit(cache=True, nogil=True)
def _grey(pixels):
    """Grey values, float32 (H, W)."""
    height, width, _ = pixels.shape
    result = np.empty((height, width), np.float32)
    red, green, blue = GREY_SHARES
    for y in range(height):
        for x in range(width):
            result[y, x] = red * pixels[y, x, 0] + green * pixels[y, x, 1] + blue * pixels[y, x, 2]
    return result


@njit(cache=True, nogil=True)
def _gradient(grey):
    """Magnitude of Sobel's gradient, float32 (H, W); the image's border is repeated."""
    height, width = grey.shape
    result = np.empty((height, width), np.float32)
    for y in range(height):
        above, row, below = grey[max(y - 1, 0)], grey[y], grey[min(y + 1, height - 1)]
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            dx = above[right] - above[left] + 2 * (row[right] - row[left]) + below[right] - below[left]
            dy = below[left] - above[left] + 2 * (below[x] - above[x]) + below[right] - above[right]
            result[y, x] = np.sqrt(dx * dx + dy * dy)
    return result


@njit(cache=True, nogil=True)
def _measure(mask, at_boundary, left, top, pixels, grey, gradient, sums):
    """Sums over one mask's bands: for inside, then outside, pixels, red, green, blue, Laplacian, its square; then
    the gradient on the boundary and the largest near it. `mask` is a crop of the picture at (left, top)."""
    height, width = mask.shape
    is_seen = np.zeros((height, width), np.bool_)
    sums[:] = 0
    for place in at_boundary:
        y, x = place // width, place % width
        side = mask[y, x]
        here, largest = gradient[top + y, left + x], np.float32(0)
        for v in range(max(y - BAND_PX, 0), min(y + BAND_PX + 1, height)):
            for u in range(max(x - BAND_PX, 0), min(x + BAND_PX + 1, width)):
                there = gradient[top + v, left + u]
                largest = max(largest, there)
                if mask[v, u] == side:
                    continue
                if abs(v - y) + abs(u - x) == 1:
                    here = max(here, there)
                if not is_seen[v, u]:
                    is_seen[v, u] = True
                    _add(mask, v, u, left, top, pixels, grey, sums[6:12] if side else sums[:6])
        if side:
            sums[12] += here
            sums[13] += largest


@njit(cache=True, nogil=True)
def _add(mask, y, x, left, top, pixels, grey, sums):
    """Add a pixel to the sums of its band; its Laplacian leaves out neighbours on the other side."""
    laplacian = 0.0
    for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0)):
        v, u = y + dy, x + dx
        if 0 <= v < mask.shape[0] and 0 <= u < mask.shape[1] and mask[v, u] == mask[y, x]:
            laplacian += grey[top + v, left + u] - grey[top + y, left + x]
    sums[0] += 1
    for channel in range(3):
        sums[1 + channel] += pixels[top + y, left + x, channel]
    sums[4] += laplacian
    sums[5] += laplacian * laplacian
