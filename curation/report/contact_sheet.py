"""A contact sheet: pictures of a run beside the same pictures with their masks drawn over them (PNG)."""

import colorsys
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from curation import ids, masks, runs
from curation.browse import selection
from curation.errors import ImageError, InputError, QueryError
from curation.formats.images import read_image
from curation.lake import Lake
from curation.whole_files import write_whole

#: Box in px that a picture is fitted into; a cell is two of them, picture and overlay.
PICTURE_BOX = (340, 255)
MARGIN = 24
CAPTION_PX = 46
HEAD_PX = 92
FILL_OPACITY, EDGE_OPACITY = 0.42, 0.95
RGB = tuple[int, int, int]
PAPER, INK, FAINT = (250, 250, 248), (24, 26, 32), (112, 116, 126)


@dataclass(frozen=True)
class Panel:
    """One image of the sheet: `runs` are its masks; `gold_ious` those of them that could be compared with gold."""

    file_name: str
    uri: str
    runs: masks.Runs
    gold_ious: tuple[float, ...]

    @property
    def caption(self) -> str:
        n = len(self.runs)
        text = f"{n} mask{'' if n == 1 else 's'}"
        if self.gold_ious:
            text += f" · mean IoU with gold {np.mean(self.gold_ious):.2f}"
        return text


@dataclass(frozen=True)
class Style:
    """How a mask is drawn: translucent, with an outline lighter by a share of the way to white."""

    colour: RGB
    fill: float = FILL_OPACITY
    edge_px: int = 1
    edge_lightness: float = 0.4


@dataclass(frozen=True)
class Sheet:
    """What was drawn. `unreadable` says which pictures could not be read, and why."""

    path: Path
    n_images: int
    n_masks: int
    unreadable: tuple[str, ...]


def draw_sheet(
    lake: Lake, out: Path, n_images: int, run_id: int | None = None, where: str | None = None
) -> Sheet:
    """Draw up to `n_images` images, spread evenly over the run, with their masks, and write the PNG.

    `run_id` None takes the newest run that has masks; `where` is an SQL condition on masks (the columns of
    `masks`, `mask_features` and gold). A picture that cannot be read gets an empty frame and is told of in the
    result. Raises InputError when no image is left, QueryError on a bad condition.
    """
    if n_images < 1:
        raise InputError(f"contact sheet: {n_images} images; at least 1")
    run_id = _newest_run(lake) if run_id is None else run_id
    if where:
        selection.choose(lake, selection.Choice(run_id=run_id, where=where))
    # A corrected mask stands in the place of the one that it corrects.
    run_ids = [run_id, *runs.corrections_of(lake, run_id)]
    picked = _pick_images(lake, run_id, n_images, only_chosen=bool(where))
    if not where:
        selection.choose(lake, selection.Choice(run_id=run_id, where=_mask_ids_of(run_ids, picked)))
    if not picked:
        condition = f" under --where {where!r}" if where else ""
        raise InputError(f"contact sheet: run {run_id} has no images to show{condition}")
    panels = [_panel(lake, run_ids, image) for image in picked]
    sheet, unreadable = _compose(panels, *_heading(lake, run_ids, where))
    png = io.BytesIO()
    sheet.save(png, "PNG", optimize=True)
    write_whole(out, png.getvalue())
    return Sheet(out, len(panels), sum(len(p.runs) for p in panels), tuple(unreadable))


def overlay(pixels: np.ndarray, runs: masks.Runs, size: tuple[int, int]) -> np.ndarray:
    """The picture (H, W, 3) uint8 at `size` (width, height) with each mask as a translucent colour with an outline.

    Larger masks are drawn first, so that parts stay visible on their wholes. No masks return the picture alone.
    """
    canvas = blank_canvas(pixels, size)
    for place, i in enumerate(np.argsort(-masks.areas(runs), kind="stable")):
        draw_mask(canvas, runs[int(i)], Style(mask_colour(place)))
    return finished(canvas)


def blank_canvas(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture (H, W, 3) uint8 at `size` (width, height), float32, to draw masks on."""
    resized = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    return np.array(resized, dtype=np.float32)


def draw_mask(canvas: np.ndarray, one: masks.Runs, style: Style) -> None:
    """Draw one mask, scaled to the canvas. An empty mask draws nothing."""
    found = _scaled(one, (canvas.shape[1], canvas.shape[0]))
    if found is None:
        return
    cover, window = found
    colour = np.array(style.colour, dtype=np.float32)
    edge = colour + (255 - colour) * style.edge_lightness
    _blend(canvas[window], colour, cover * style.fill)
    _blend(canvas[window], edge, _edge(cover, style.edge_px) * EDGE_OPACITY)


def finished(canvas: np.ndarray) -> np.ndarray:
    """The canvas as a picture, uint8."""
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8)


def mask_colour(place: int) -> RGB:
    """A clear colour; neighbours in number are far apart in hue (golden angle)."""
    hue = (0.78 + place * 0.6180339887) % 1.0
    value = (1.0, 0.86, 0.94)[place % 3]
    return tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.85, value))


def _blend(target: np.ndarray, colour: np.ndarray, opacity: np.ndarray) -> None:
    target += (colour - target) * opacity[..., None]


def _scaled(one: masks.Runs, size: tuple[int, int]) -> tuple[np.ndarray, tuple[slice, slice]] | None:
    """Cover (h, w) in 0..1 of a mask at the sheet's scale, and where it lies there. None for an empty mask."""
    x, y, w, h = (int(v) for v in masks.boxes(one)[0])
    if w == 0 or h == 0:
        return None
    scale_x, scale_y = size[0] / one.width, size[1] / one.height
    x0, x1 = int(x * scale_x), min(size[0], math.ceil((x + w) * scale_x))
    y0, y1 = int(y * scale_y), min(size[1], math.ceil((y + h) * scale_y))
    left, top = int(x0 / scale_x), int(y0 / scale_y)
    right, bottom = min(one.width, math.ceil(x1 / scale_x)), min(one.height, math.ceil(y1 / scale_y))
    crop = masks.decode(one, crop_xywh=(left, top, right - left, bottom - top))[0]
    source = (x0 / scale_x - left, y0 / scale_y - top, x1 / scale_x - left, y1 / scale_y - top)
    source = (source[0], source[1], min(source[2], right - left), min(source[3], bottom - top))
    picture = Image.fromarray(crop.astype(np.uint8) * 255)
    small = picture.resize((x1 - x0, y1 - y0), Image.Resampling.BOX, box=source)
    return np.asarray(small, dtype=np.float32) / 255, (slice(y0, y1), slice(x0, x1))


def _edge(cover: np.ndarray, edge_px: int) -> np.ndarray:
    """1 on the pixels of a mask within `edge_px` of what is outside it, 0 elsewhere."""
    inside = cover >= 0.5
    kept = inside
    for _ in range(edge_px):
        padded = np.pad(kept, 1)
        kept = kept & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return (inside & ~kept).astype(np.float32)


def _newest_run(lake: Lake) -> int:
    found = lake.con.execute("""
        SELECT max(run_id) FROM masks WHERE run_id NOT IN (SELECT run_id FROM runs WHERE kind = 'correct')
    """).fetchone()[0]
    if found is None:
        raise QueryError("the lake holds no masks yet: `curation generate` or `curation import` makes some")
    return found


def _pick_images(lake: Lake, run_id: int, n_images: int, only_chosen: bool) -> list[dict]:
    """Up to `n_images` rows of `images`, evenly spread over the run, or over those that have chosen masks."""
    condition = "run_id = $run_id"
    if only_chosen:
        condition += " AND image_id IN (SELECT image_id FROM chosen)"
    count = f"SELECT count(*) FROM images WHERE {condition}"
    n_there = lake.con.execute(count, {"run_id": run_id}).fetchone()[0]
    places = np.linspace(0, max(n_there - 1, 0), min(n_images, n_there)).round().astype(int).tolist()
    return lake.query(
        f"""
        SELECT image_number, file_name, uri, height_px, width_px
        FROM images WHERE {condition}
        QUALIFY list_contains($places, row_number() OVER (ORDER BY image_number) - 1)
        ORDER BY image_number
        """,
        {"run_id": run_id, "places": places},
    ).to_pylist()


def _mask_ids_of(run_ids: list[int], images: list[dict]) -> str:
    """A condition that holds for the masks of these images. Masks lie sorted by id, so little is read."""
    ranges = (
        ids.mask_id_range(run_id, image["image_number"], image["image_number"] + 1)
        for run_id in run_ids
        for image in images
    )
    return " OR ".join(f"mask_id >= {first} AND mask_id < {stop}" for first, stop in ranges) or "false"


def _panel(lake: Lake, run_ids: list[int], image: dict) -> Panel:
    """The image with its chosen masks."""
    rows = lake.query(
        f"""
        SELECT masks.rle_counts, chosen.gold_iou
        FROM chosen JOIN masks USING (run_id, mask_id)
        WHERE {_mask_ids_of(run_ids, [image])}
        ORDER BY mask_id
        """
    )
    runs = masks.parse_strings(rows["rle_counts"].combine_chunks(), image["height_px"], image["width_px"])
    return Panel(image["file_name"], image["uri"], runs, tuple(rows["gold_iou"].drop_null().to_pylist()))


def _heading(lake: Lake, run_ids: list[int], where: str | None) -> tuple[str, str]:
    """Title and the line below it: what made the masks."""
    run_id = run_ids[0]
    counted = "chosen" if where else f"current_masks WHERE run_id IN ({', '.join(map(str, run_ids))})"
    kind, source, stage, cycle, model, preset, n_masks = lake.con.execute(
        f"""
        SELECT kind, source, stage, cycle, model, preset, (SELECT count(*) FROM {counted})
        FROM runs WHERE run_id = $run_id
        """,
        {"run_id": run_id},
    ).fetchone()
    made_by = " · ".join(str(v) for v in (model, preset, stage and f"{stage} cycle {cycle}") if v)
    line = f"{kind} of {Path(source).name or source} · {n_masks:,} masks" + (
        f" · where {where}" if where else ""
    )
    return f"Run {run_id}" + (f" · {made_by}" if made_by else ""), line


def _compose(panels: list[Panel], title: str, line: str) -> tuple[Image.Image, list[str]]:
    """The sheet, and the pictures that could not be read."""
    columns = min(len(panels), 1 if len(panels) == 1 else 2 if len(panels) < 6 else 3)
    rows = math.ceil(len(panels) / columns)
    box_w, box_h = PICTURE_BOX
    cell_w, cell_h = 2 * box_w + 4, box_h + CAPTION_PX
    width = MARGIN + columns * (cell_w + MARGIN)
    sheet = Image.new("RGB", (width, HEAD_PX + rows * (cell_h + MARGIN) + MARGIN // 2), PAPER)
    pen = ImageDraw.Draw(sheet)
    write_line(pen, (MARGIN, 18), title, 30, INK, width - 2 * MARGIN)
    write_line(pen, (MARGIN, 56), line, 17, FAINT, width - 2 * MARGIN)
    unreadable = []
    for i, panel in enumerate(panels):
        x = MARGIN + (i % columns) * (cell_w + MARGIN)
        y = HEAD_PX + (i // columns) * (cell_h + MARGIN)
        problem = _draw_panel(sheet, pen, (x, y), panel)
        if problem:
            unreadable.append(problem)
    return sheet, unreadable


def _draw_panel(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, at: tuple[int, int], panel: Panel
) -> str | None:
    """Picture, overlay and caption in one cell; returns why the picture could not be drawn, if so."""
    (x, y), (box_w, box_h) = at, PICTURE_BOX
    scale = min(box_w / panel.runs.width, box_h / panel.runs.height)
    size = (max(1, round(panel.runs.width * scale)), max(1, round(panel.runs.height * scale)))
    pixels, problem = read_pixels(panel.uri, panel.runs.height, panel.runs.width)
    dx, dy = (box_w - size[0]) // 2, box_h - size[1]
    for side, shown in enumerate((masks.Runs.empty(panel.runs.height, panel.runs.width), panel.runs)):
        picture = Image.fromarray(overlay(pixels, shown, size))
        # The two stand close together, so that they read as one.
        shift = 2 * dx if side == 0 else 0
        sheet.paste(picture, (x + side * (box_w + 4) + shift, y + dy))
    write_line(pen, (x, y + box_h + 6), panel.file_name, 16, INK, 2 * box_w)
    write_line(pen, (x, y + box_h + 26), problem or panel.caption, 14, FAINT, 2 * box_w)
    return problem


def read_pixels(uri: str, height_px: int, width_px: int) -> tuple[np.ndarray, str | None]:
    """The picture (H, W, 3), or a grey one of its size and the reason."""
    shape = (height_px, width_px, 3)
    try:
        pixels = read_image(uri).pixels
        if pixels.shape != shape:
            raise ImageError(
                f"{uri}: {pixels.shape[1]}x{pixels.shape[0]} px; the masks are for {shape[1]}x{shape[0]} px"
            )
        return pixels, None
    except ImageError as error:
        return np.full(shape, 200, dtype=np.uint8), str(error)


def write_line(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour, width: int
) -> None:
    """One line in Pillow's own font (no system font is needed), cut to `width` px."""
    font = ImageFont.load_default(size)
    if pen.textlength(text, font) > width:
        while text and pen.textlength(text + "…", font) > width:
            text = text[:-1]
        text += "…"
    pen.text(at, text, fill=colour, font=font)
