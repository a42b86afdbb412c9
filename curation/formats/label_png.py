"""Label PNGs: one picture of numbers an image, each number a mask, 0 the background.

8-bit and 16-bit grey and palette PNGs are read; of a palette the indices count, not the colours.
"""

import io
from collections.abc import Collection

import numpy as np
import PIL.Image
import pyarrow as pa

from curation import masks
from curation.errors import RecordError
from curation.formats.images import MAX_IMAGE_PX
from curation.formats.records import Annotations, Record, RecordImage

MAX_FILE_BYTES = 1 << 30
BACKGROUND = 0
LARGEST_LABEL = 65_535

#: `mask_index` and `source_mask_id` are the label, so that mending one mask moves no other.
COLUMNS = pa.schema([("mask_index", pa.int32()), ("source_mask_id", pa.string())])

#: Bytes 24 and 25 of a PNG: bit depth and colour type of the header chunk (PNG specification, 11.2.2).
_BIT_DEPTH, _COLOUR_TYPE, _GREY = 24, 25, 0


def parse_labels(data: bytes) -> np.ndarray:
    """The labels, uint8 or uint16 (H, W), as they stand in the file. Raises RecordError for any other picture."""
    try:
        picture = PIL.Image.open(io.BytesIO(data), formats=("PNG",))
    except PIL.UnidentifiedImageError as error:
        raise RecordError(
            f"this is no PNG, or a damaged one (it starts with {data[:8]!r}); save labels as PNG"
        ) from error
    except Exception as error:  # header parsers raise whatever they ran into
        raise RecordError(f"the PNG's header is damaged ({error}); write or fetch the file again") from error
    width_px, height_px = picture.size
    if width_px * height_px > MAX_IMAGE_PX:
        raise RecordError(
            f"the PNG is {width_px} × {height_px} pixels; allowed are {MAX_IMAGE_PX:,}. Tile it"
        )
    if getattr(picture, "n_frames", 1) > 1:
        raise RecordError(
            f"the PNG holds {picture.n_frames} pictures; labels are one: save each as a file of its own"
        )
    if picture.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
        raise RecordError(
            f"the PNG's pixels are of Pillow's mode {picture.mode}; labels are one number a pixel: 8-bit or 16-bit "
            "grey, or palette. Turn colours into numbers first"
        )
    try:
        labels = np.asarray(picture)
    except Exception as error:  # decoders raise whatever their format's parser ran into
        raise RecordError(
            f"the PNG is damaged or cut short ({error}); write or fetch the file again"
        ) from error
    if data[_COLOUR_TYPE] == _GREY and data[_BIT_DEPTH] < 8:
        # Pillow stretches 1, 2 and 4-bit grey to 0..255; the file holds 0..2^bits - 1.
        labels = labels.astype(np.uint8) // (
            1 if picture.mode == "1" else 255 // ((1 << data[_BIT_DEPTH]) - 1)
        )
    return labels.astype(np.uint8 if data[_BIT_DEPTH] <= 8 else np.uint16)


def parse_record(data: bytes, file_name: str, ignored: Collection[int] = ()) -> Record:
    """The masks of one label PNG. Pixels whose label is in `ignored` belong to no mask, like the background.

    `file_name` is the picture's. A PNG of background alone is an image without masks.
    """
    labels = parse_labels(data)
    numbers, runs = masks.encode_labels(labels)
    is_mask = ~np.isin(numbers, [BACKGROUND, *ignored])
    numbers = numbers[is_mask]
    columns = [pa.array(numbers, pa.int32()), pa.array(map(str, numbers.tolist()), pa.string())]
    image = RecordImage(None, labels.shape[1], labels.shape[0], file_name)
    return Record(
        image, Annotations.of(runs[np.flatnonzero(is_mask)], pa.record_batch(columns, schema=COLUMNS))
    )
