"""What a scene is made of: shapes on things on layers, and the stage that hands out chance and colour."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .outlines import Outline
from .paint import Colour, Light, Paint, Palette, darker, lighter


@dataclass(frozen=True)
class Shape:
    """One painted outline with others on it. A `name` makes it, and all that lies on it, a part with a gold mask.

    Children are clipped to the outline; a shape without an outline only groups its children.
    """

    outline: Outline
    paint: Paint | None
    name: str | None = None
    children: tuple["Shape", ...] = ()


def group(name: str, *children: Shape) -> Shape:
    """Several shapes that are one part."""
    return Shape([], None, name, children)


@dataclass(frozen=True)
class Thing:
    """A whole object: its shapes, painted in order, and the shadow it throws."""

    name: str
    shapes: tuple[Shape, ...]
    shadow: Literal["none", "drop", "ground"] = "none"


@dataclass(frozen=True)
class Layer:
    """Things painted in order, farthest first; then all that is painted so far goes out of focus by `blur_px`."""

    things: tuple[Thing, ...]
    blur_px: float = 0.0


@dataclass(frozen=True)
class Stage:
    """The frame in pixels, the scene's colours and light, and its one source of chance."""

    width: int
    height: int
    palette: Palette
    light: Light
    rng: np.random.Generator

    @property
    def unit(self) -> float:
        """A hundredth of the shorter side, in px."""
        return min(self.width, self.height) / 100

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def integer(self, low: int, high: int) -> int:
        """Low and high both possible."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def choice(self, *options):
        return options[self.rng.integers(len(options))]

    def strong(self) -> Colour:
        return self.palette.strong(self.rng)

    def calm(self, lightness: float) -> Colour:
        return self.palette.calm(self.rng, lightness)

    def plain(self, base: Colour | None = None, **changes) -> Paint:
        """A smooth paint, in a colour of the palette unless told."""
        return Paint(base or self.strong()).but(**changes)

    def patterned(self, size_px: float, base: Colour | None = None, **changes) -> Paint:
        """A paint with a texture that suits a thing of that size; often none."""
        base = base or self.strong()
        texture = self.choice("plain", "plain", "cloudy", "grain", "stripes", "dots", "checker")
        second = self.choice(darker(base, 0.25), lighter(base, 0.35), self.strong())
        if texture in ("grain", "cloudy"):
            second = darker(base, 0.22)
        scale = max(3.0, size_px * self.uniform(0.06, 0.14))
        return Paint(base, second, texture, scale, self.uniform(0, np.pi)).but(**changes)

    def backdrop(
        self, base: Colour, texture: str = "cloudy", scale_px: float | None = None, **changes
    ) -> Paint:
        """A quiet surface for the far end of the scene."""
        scale = scale_px or self.unit * self.uniform(5, 16)
        return Paint(base, darker(base, 0.14), texture, scale, rim=0.0).but(**changes)
