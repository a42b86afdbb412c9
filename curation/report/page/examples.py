"""The worst masks as pictures: the mask, and the gold it agrees with most, on a piece of their image."""

import io
import math
import shlex
from collections.abc import Sequence

import numpy as np
from PIL import Image

from curation import masks
from curation.errors import RleError
from curation.lake import Lake
from curation.report.contact_sheet import Style, blank_canvas, draw_mask, finished, read_pixels
from curation.report.page.blocks import Block, Commands, Picture, Pictures, Words
from curation.report.page.facts import Facts
from curation.report.page.words import counted, plain

#: Of one image at most so many: twelve masks of one bad image would hide the other errors.
MOST_OF_IMAGE = 2
#: A picture of the page, in px; shown at about half of that.
PICTURE_PX = (480, 360)
JPEG_QUALITY = 78
#: The piece shown is so many times as wide as what it shows, and at least this share of the image.
SURROUNDINGS, LEAST_SHARE = 1.8, 0.15
#: Gold with a box of more than so many times the mask's would make the mask a dot: the piece then follows the mask.
MUCH_LARGER = 9
#: Magenta and yellow stand apart on photographs, also for people who see red and green alike; yellow has a dark lining.
MASK_STYLES = (Style((225, 0, 130), fill=0.42, edge_px=2, edge_lightness=0.1),)
GOLD_STYLES = (
    Style((0, 0, 0), fill=0.0, edge_px=5, edge_lightness=0.0),
    Style((255, 214, 0), fill=0.0, edge_px=3, edge_lightness=0.0),
)
#: Outlines are drawn beyond the piece's edges too, and cut off with them: where a mask goes on there is no outline.
BLEED_PX = 6


def worst(facts: Facts) -> list[Block]:
    """Up to `n_worst` masks of least IoU with gold, worst first."""
    subject = facts.subject
    rows = facts.rows("worst_masks", n_rows=20 * max(subject.n_worst, 1))
    if not rows or not subject.n_worst:
        return []
    chosen = _spread(rows, subject.n_worst)
    pictures = [_picture(facts, row) for row in chosen]
    lost = [picture.problem for picture in pictures if picture.problem]
    here = f"--workspace {shlex.quote(subject.root)}"
    return [
        Words(
            f"The {counted(len(chosen), 'mask')} that agree least with gold, at most {MOST_OF_IMAGE} of an image. Magenta, "
            "filled: the mask. Yellow, outline: the gold mask that it agrees with most; none where no gold overlaps it."
        ),
        *([Words(f"{counted(len(lost), 'picture')} could not be read:", lost)] if lost else []),
        Pictures(pictures),
        Commands(
            "All of them in the FiftyOne App, or as a sheet:",
            [
                f"curation browse sync --run {subject.run_id} --report worst_masks {here}",
                f'curation sheet worst.png --run {subject.run_id} --where "gold_iou < 0.5" {here}',
            ],
        ),
    ]


def _spread(rows: Sequence[dict], n: int) -> list[dict]:
    """The first `n` rows, leaving out what an image has beyond MOST_OF_IMAGE."""
    of_image: dict[int, int] = {}
    chosen = []
    for row in rows:
        of_image[row["image_id"]] = of_image.get(row["image_id"], 0) + 1
        if of_image[row["image_id"]] <= MOST_OF_IMAGE:
            chosen.append(row)
    return chosen[:n]


def _picture(facts: Facts, row: dict) -> Picture:
    told = [
        ("IoU with gold", plain(row["gold_iou"])),
        ("predicted IoU", plain(row["predicted_iou"])),
        ("area", f"{row['area_px']:,} px"),
        ("error", row["error_kind"] or "–"),
    ]
    where = f'curation browse sync --where "mask_id = {row["mask_id"]}"'
    title = row["file_name"] or f"image {row['image_id']}"
    jpeg, problem = drawing(stored(facts.lake, row))
    return Picture(
        title=title,
        facts=told,
        alt=f"Mask {row['mask_id']} on {title}: " + ", ".join(f"{name} {value}" for name, value in told),
        jpeg=jpeg,
        command=f"{where} --workspace {shlex.quote(facts.subject.root)}",
        problem=problem and f"mask {row['mask_id']}: {problem}",
    )


def drawing(found: dict) -> tuple[bytes | None, str]:
    """The picture of a mask as `stored` gives it, as JPEG, or why there is none."""
    if found["uri"] is None:
        return None, "the lake does not know its image"
    try:
        mask, gold = (_runs(found, name) for name in ("rle_counts", "gold_rle_counts"))
    except RleError as error:
        return None, str(error)
    pixels, problem = read_pixels(found["uri"], found["height_px"], found["width_px"])
    return (None, problem) if problem else (_jpeg(draw_piece(pixels, mask, gold)), "")


def stored(lake: Lake, row: dict) -> dict:
    """The mask, its image and its best gold mask as they are stored; null for what is not there.

    `row` has run_id, mask_id and gold_run_id (None for no gold). Corrected masks lie on the images of the parent run.
    """
    return lake.query(
        """
        SELECT
            images.uri,
            masks.height_px,
            masks.width_px,
            masks.rle_counts,
            gold_masks.rle_counts AS gold_rle_counts
        FROM masks
        LEFT JOIN runs ON masks.run_id = runs.run_id
        LEFT JOIN images
            ON
                masks.image_id = images.image_id
                AND images.run_id = CASE runs.kind WHEN 'correct' THEN runs.parent_run_id ELSE runs.run_id END
        LEFT JOIN gold_matches AS matches
            ON
                masks.run_id = matches.run_id
                AND masks.mask_id = matches.mask_id
                AND matches.gold_run_id = $gold_run_id
        LEFT JOIN gold_masks
            ON matches.gold_run_id = gold_masks.run_id AND matches.best_gold_mask_id = gold_masks.gold_mask_id
        WHERE masks.run_id = $run_id AND masks.mask_id = $mask_id
        """,
        {name: row[name] for name in ("run_id", "mask_id", "gold_run_id")},
    ).to_pylist()[0]


def _runs(found: dict, name: str) -> masks.Runs:
    """The mask of a column; none where the column is null. Raises RleError."""
    texts = [] if found[name] is None else [found[name]]
    return masks.parse_strings(texts, found["height_px"], found["width_px"])


def draw_piece(pixels: np.ndarray, mask: masks.Runs, gold: masks.Runs) -> np.ndarray:
    """The piece of the picture around both, at PICTURE_PX, gold as an outline, mask filled."""
    window = piece_window(_shown_box(mask, gold), mask.width, mask.height)
    x, y, w, h = window
    scale = min(PICTURE_PX[0] / w, PICTURE_PX[1] / h)
    bleed = math.ceil(BLEED_PX / scale)
    margins = ((bleed, bleed), (bleed, bleed), (0, 0))
    padded = np.pad(pixels[y : y + h, x : x + w], margins, mode="edge")
    canvas = blank_canvas(padded, (round((w + 2 * bleed) * scale), round((h + 2 * bleed) * scale)))
    for runs, styles in ((gold, GOLD_STYLES), (mask, MASK_STYLES)):
        if len(runs):
            piece = np.pad(masks.decode(runs, crop_xywh=window)[0], bleed, mode="edge")
            for style in styles:
                draw_mask(canvas, masks.encode(piece[None]), style)
    cut = round(bleed * scale)
    return finished(canvas)[cut:-cut, cut:-cut]


def _shown_box(mask: masks.Runs, gold: masks.Runs) -> np.ndarray:
    """left, top, right, bottom of the mask, and of its gold too where that is not much larger."""
    boxes = np.concatenate([masks.boxes(mask), masks.boxes(gold)]).astype(float)
    areas = boxes[:, 2] * boxes[:, 3]
    boxes = boxes[areas <= MUCH_LARGER * max(areas[0], 1)]
    return np.concatenate([boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)])


def piece_window(box: np.ndarray, width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """x, y, width, height of the piece: the box and what surrounds it, in the picture's proportions if it can be."""
    aspect = PICTURE_PX[0] / PICTURE_PX[1]
    left, top, right, bottom = box
    w = max((right - left) * SURROUNDINGS, (bottom - top) * SURROUNDINGS * aspect, LEAST_SHARE * width_px, 32)
    h = min(w / aspect, height_px)
    w = min(w, width_px)
    x = min(max((left + right - w) / 2, 0), width_px - w)
    y = min(max((top + bottom - h) / 2, 0), height_px - h)
    first, stop = (math.floor(x), math.floor(y)), (math.ceil(x + w), math.ceil(y + h))
    return *first, min(stop[0], width_px) - first[0], min(stop[1], height_px) - first[1]


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return file.getvalue()
