"""Paints the layers of a stage into pixels, and keeps which shape shows at every pixel."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from curation import masks

from .outlines import ellipse
from .paint import Light, fill
from .raster import Window, blur, coverage
from .stage import Layer, Shape, Stage, Thing

#: Fewer visible pixels than this are a sliver that blur and JPEG wipe out: nobody could draw it, so it gets no mask.
MIN_VISIBLE_PX = 12

#: Dense masks held at once while encoding.
ENCODE_BATCH = 32


@dataclass(frozen=True)
class Named:
    """A shape or thing that gets a gold mask: the pixels that show labels `first` to `last`."""

    name: str
    whole: int
    first: int
    last: int
    is_whole: bool


@dataclass(frozen=True)
class Layered:
    """A shape in place: its label, its own cover and its paint."""

    label: int
    shape: Shape
    covered: np.ndarray
    window: Window


class Canvas:
    """Colours (H, W, 3) in 0..1, and for each pixel the label of the topmost shape that covers at least half of it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.rgb = np.zeros((stage.height, stage.width, 3), np.float32)
        self.labels = np.zeros((stage.height, stage.width), np.int32)
        self.named: list[Named] = []
        self.n_labels = 0

    def paint(self, layer: Layer) -> None:
        for thing in layer.things:
            self._paint_thing(thing)
        self.rgb = blur(self.rgb, layer.blur_px)

    def _paint_thing(self, thing: Thing) -> None:
        first, whole = self.n_labels + 1, len(self.named)
        self.named.append(Named(thing.name, whole, first, 0, is_whole=True))
        placed = [p for shape in thing.shapes for p in self._place(shape, whole, None)]
        self.named[whole] = Named(thing.name, whole, first, self.n_labels, is_whole=True)
        if placed and thing.shadow != "none":
            self._throw_shadow(thing, placed)
        for one in placed:
            self._paint_shape(one)

    def _place(self, shape: Shape, whole: int, clip: np.ndarray | None) -> Iterator[Layered]:
        """The shape and its children, parents first, so that the labels of a shape and its children are a range."""
        self.n_labels += 1
        label, place = self.n_labels, len(self.named)
        if shape.name:
            self.named.append(Named(shape.name, whole, label, 0, is_whole=False))
        inside = clip
        if shape.outline:
            found = coverage(shape.outline, self.stage.height, self.stage.width)
            if found is not None:
                covered, window = found
                if clip is not None:
                    covered = np.minimum(covered, clip[window])
                yield Layered(label, shape, covered, window)
                if shape.children:
                    inside = np.zeros(self.labels.shape, np.float32)
                    inside[window] = covered
        for child in shape.children:
            yield from self._place(child, whole, inside)
        if shape.name:
            self.named[place] = Named(shape.name, whole, label, self.n_labels, is_whole=False)

    def _paint_shape(self, one: Layered) -> None:
        corners = np.concatenate(one.shape.outline)
        frame = (*corners.min(axis=0), *corners.max(axis=0))
        rows, columns = one.window
        light, rng = self.stage.light, self.stage.rng
        colours = fill(one.shape.paint, one.covered, (columns.start, rows.start), frame, light, rng, blur)
        share = (one.covered * one.shape.paint.opacity)[..., None]
        self.rgb[one.window] += (colours - self.rgb[one.window]) * share
        self.labels[one.window][one.covered >= 0.5] = one.label

    def _throw_shadow(self, thing: Thing, placed: list[Layered]) -> None:
        """Darken what is painted so far, on the side away from the light or on the ground below the thing."""
        extent = _extent([one.window for one in placed])
        if thing.shadow == "ground":
            shades, soft_px, reach_px = (
                self._on_ground(extent),
                0.03 * (extent[1].stop - extent[1].start),
                0.0,
            )
        else:
            shades = [(one.covered, one.window) for one in placed]
            reach_px = 0.06 * min(side.stop - side.start for side in extent) + 1.5
            soft_px = 0.6 * reach_px
        if not shades:
            return
        soft_px = max(1.0, soft_px)
        rows, columns = _padded(
            _extent([window for _, window in shades]), 3 * soft_px + reach_px, self.labels.shape
        )
        shade = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        for covered, (down, across) in shades:
            target = shade[
                down.start - rows.start : down.stop - rows.start,
                across.start - columns.start : across.stop - columns.start,
            ]
            np.maximum(target, covered, out=target)
        shade = _shifted(blur(shade, soft_px), self.stage.light, reach_px)
        self.rgb[rows, columns] *= (1.0 - 0.5 * self.stage.light.strength * shade)[..., None]

    def _on_ground(self, extent: Window) -> list[tuple[np.ndarray, Window]]:
        """The flat ellipse that a thing of that extent shades on the ground."""
        rows, columns = extent
        width = columns.stop - columns.start
        lean = -0.18 * width * self.stage.light.towards[0]
        flat = ellipse(columns.start + width / 2 + lean, rows.stop - 1, width * 0.55, max(2.0, width * 0.09))
        found = coverage(flat, *self.labels.shape)
        return [] if found is None else [found]

    def gold(self) -> tuple[list[Named], masks.Runs]:
        """Everything named that still shows, wholes before their parts, and its visible pixels.

        A part that shows just as what it lies on would be the same mask again: it is left out.
        """
        up_to = np.cumsum(np.bincount(self.labels.ravel(), minlength=self.n_labels + 1))
        kept, lies_on = [], []
        for one in self.named:
            visible_px = int(up_to[one.last] - up_to[one.first - 1])
            while lies_on and lies_on[-1][0].last < one.first:
                lies_on.pop()
            if visible_px >= MIN_VISIBLE_PX and not (lies_on and lies_on[-1][1] == visible_px):
                kept.append(one)
            lies_on.append((one, visible_px))
        return kept, _encode(self.labels, kept)


def _extent(windows: list[Window]) -> Window:
    """The smallest window that holds all of them."""
    rows, columns = zip(*windows, strict=True)
    return tuple(slice(min(s.start for s in sides), max(s.stop for s in sides)) for sides in (rows, columns))


def _padded(window: Window, px: float, shape: tuple[int, int]) -> Window:
    """The window with a margin, cut at the frame of that shape."""
    margin = int(px) + 1
    return tuple(
        slice(max(side.start - margin, 0), min(side.stop + margin, length))
        for side, length in zip(window, shape, strict=True)
    )


def _shifted(shade: np.ndarray, light: Light, reach: float) -> np.ndarray:
    """Move a shade away from the light by `reach` px."""
    moved = np.zeros_like(shade)
    dx, dy = (round(-reach * t) for t in light.towards)
    h, w = shade.shape
    target = moved[max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)]
    target[:] = shade[max(-dy, 0) : h + min(-dy, 0), max(-dx, 0) : w + min(-dx, 0)]
    return moved


def _encode(labels: np.ndarray, named: list[Named]) -> masks.Runs:
    batches = [
        masks.encode(
            np.stack([(labels >= n.first) & (labels <= n.last) for n in named[i : i + ENCODE_BATCH]])
        )
        for i in range(0, len(named), ENCODE_BATCH)
    ]
    return masks.Runs.concat(batches) if batches else masks.Runs.empty(*labels.shape)
