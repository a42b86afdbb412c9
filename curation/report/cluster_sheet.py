"""The contact sheet of a failure cluster: its masks one by one, close up, with what is known of each (PNG)."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from curation import conditions, masks
from curation.errors import InputError
from curation.failures import clusters
from curation.lake import Lake
from curation.report.contact_sheet import (
    FAINT,
    INK,
    MARGIN,
    PAPER,
    RGB,
    Sheet,
    Style,
    blank_canvas,
    draw_mask,
    finished,
    read_pixels,
    write_line,
)
from curation.whole_files import write_whole

#: Box in px that a close-up is fitted into, text below it, and close-ups in a row.
CELL_PX, TEXT_PX, COLUMNS = 220, 44, 6
HEAD_PX = 108
#: Picture around a mask, as a share of its longer side, and at least so many px: a mask alone shows no mistake.
AROUND, LEAST_AROUND_PX = 0.5, 24
BAD, GOOD = (196, 44, 44), (28, 128, 64)

_PICKED = """
    WITH members AS (
        SELECT
            cluster_masks.*,
            CAST(({bad}
            ) AS BOOLEAN) AS is_counted_bad
        FROM cluster_masks
        SEMI JOIN cluster_members AS m
            ON m.mask_id = cluster_masks.mask_id AND m.cluster = $cluster AND m.search_id = $search_id
    )

    SELECT
        members.*,
        masks.rle_counts,
        -- One of each image before a second of any.
        row_number() OVER (
            PARTITION BY is_counted_bad, members.image_id ORDER BY hash(members.mask_id), members.mask_id
        ) AS turn
    FROM members
    JOIN masks ON masks.run_id = members.run_id AND masks.mask_id = members.mask_id
    ORDER BY coalesce(is_counted_bad::INTEGER, 0.5) DESC, turn, hash(members.mask_id), members.mask_id
    LIMIT $n_masks
"""


def draw_cluster(lake: Lake, cluster: int, out: Path, n_masks: int = 24) -> Sheet:
    """Draw up to `n_masks` masks of a cluster, bad ones (as its search counted) first, then those that nobody judged, of as
    many images as there are, and write the PNG.

    A picture that cannot be read gets a grey frame and is told of in the result. Raises InputError where there is no such
    cluster, QueryError where this lake no longer knows what its search called bad.
    """
    if n_masks < 1:
        raise InputError(f"contact sheet: {n_masks} masks; at least 1")
    row = clusters.one(lake, cluster)
    given = {"cluster": cluster, "search_id": row["search_id"], "n_masks": n_masks}
    bad = json.loads(row["search"]).get("bad", "is_bad")
    # A mask that was corrected since is still what failed.
    conditions.create_view(lake.con, "cluster_masks", [bad, _PICKED], masks="masks")
    conditions.check_expression(lake.con, "bad", bad, "cluster_masks")
    picked = lake.query(_PICKED.format(bad=bad), given).to_pylist()
    sheet, unreadable = _compose(picked, row)
    png = io.BytesIO()
    sheet.save(png, "PNG", optimize=True)
    write_whole(out, png.getvalue())
    return Sheet(out, len({mask["image_id"] for mask in picked}), len(picked), tuple(unreadable))


def _compose(picked: list[dict], row: dict) -> tuple[Image.Image, list[str]]:
    """The sheet, and the pictures that could not be read."""
    columns = min(max(len(picked), 3), COLUMNS)
    width = MARGIN + columns * (CELL_PX + MARGIN)
    height = HEAD_PX + -(-len(picked) // columns) * (CELL_PX + TEXT_PX + MARGIN // 2) + MARGIN // 2
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    for y, line, size, colour in _heading(row):
        write_line(pen, (MARGIN, y), line, size, colour, width - 2 * MARGIN)
    unreadable: dict[str, None] = {}
    pictures: dict[str, tuple[np.ndarray, str | None]] = {}
    for i, mask in enumerate(picked):
        if mask["uri"] not in pictures:
            pictures[mask["uri"]] = _pixels(mask)
        pixels, problem = pictures[mask["uri"]]
        if problem:
            unreadable[problem] = None
        x = MARGIN + (i % columns) * (CELL_PX + MARGIN)
        y = HEAD_PX + (i // columns) * (CELL_PX + TEXT_PX + MARGIN // 2)
        shown = Image.fromarray(_close_up(pixels, mask))
        sheet.paste(shown, (x + (CELL_PX - shown.width) // 2, y + (CELL_PX - shown.height) // 2))
        text, colour = _known(mask)
        write_line(pen, (x, y + CELL_PX + 4), text, 15, colour, CELL_PX)
        name = mask["file_name"] or f"image {mask['image_id']}"
        write_line(pen, (x, y + CELL_PX + 22), f"{name} · mask {mask['mask_id']}", 12, FAINT, CELL_PX)
    return sheet, list(unreadable)


def _heading(row: dict) -> list[tuple[int, str, int, RGB]]:
    bounds = f"[{row['bad_share_low']:.2f}, {row['bad_share_high']:.2f}]"
    figures = (
        f"share bad {row['bad_share']:.2f} {bounds}, of all others {row['rest_bad_share']:.2f} · about {row['n_bad']:,.0f} "
        f"[{row['n_bad_low']:,.0f}, {row['n_bad_high']:,.0f}] bad of {row['n_masks']:,} masks on {row['n_images']:,} images"
    )
    origin = (
        f"search {row['search_id']}, {row['searched_at']:%Y-%m-%d} · q {row['q_value']:.2g} · mostly "
        f"{row['failure_mode'].replace('_', '-')} · status {row['status'].replace('_', ' ')}"
    )
    return [
        (14, f"Cluster {row['cluster']}: {row['words']}", 28, INK),
        (52, figures, 17, INK),
        (76, origin, 15, FAINT),
    ]


def _pixels(mask: dict) -> tuple[np.ndarray, str | None]:
    height, width = mask["height_px"], mask["width_px"]
    if mask["uri"] is None:
        return np.full(
            (height, width, 3), 200, np.uint8
        ), f"image {mask['image_id']}: the lake does not know it"
    return read_pixels(mask["uri"], height, width)


def _close_up(pixels: np.ndarray, mask: dict) -> np.ndarray:
    """The mask on its part of the picture, fitted into the cell."""
    x, y, w, h = mask["bbox_xywh"]
    around = max(round(AROUND * max(w, h)), LEAST_AROUND_PX)
    left, top = max(x - around, 0), max(y - around, 0)
    right, bottom = min(x + w + around, mask["width_px"]), min(y + h + around, mask["height_px"])
    runs = masks.parse_strings([mask["rle_counts"]], mask["height_px"], mask["width_px"])
    inside = masks.encode(masks.decode(runs, crop_xywh=(left, top, right - left, bottom - top)))
    scale = CELL_PX / max(right - left, bottom - top)
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    canvas = blank_canvas(pixels[top:bottom, left:right], size)
    # The inside stays visible: whether an outline is right is seen on both sides of it.
    draw_mask(canvas, inside, Style((255, 64, 180), fill=0.22, edge_px=2, edge_lightness=0.0))
    return finished(canvas)


def _known(mask: dict) -> tuple[str, RGB]:
    """What is known of the mask, and the colour that says whether the search counted it as bad."""
    colour = {None: FAINT, True: BAD, False: GOOD}[mask["is_counted_bad"]]
    if mask["label_source"] == "verdict":
        reasons = ", ".join(mask["verdict_reasons"] or []).replace("_", " ")
        return f"{mask['verdict'] or 'tied'}{': ' if reasons else ''}{reasons}", colour
    if mask["label_source"] == "gold":
        kind = mask["error_kind"] if mask["is_bad"] else "good"
        return f"{kind}, IoU {mask['gold_iou']:.2f}", colour
    return {None: "not judged", True: "bad", False: "good"}[mask["is_counted_bad"]], colour
