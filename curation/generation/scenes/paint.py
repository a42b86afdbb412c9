"""Colours, textures and light: what a shape looks like inside its outline."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

Colour = tuple[float, float, float]


def colour(lightness: float, chroma: float, hue: float) -> Colour:
    """sRGB 0..1 of an OKLCH colour (lightness 0..1, chroma 0..0.3, hue in turns), so that equal steps look equal.

    Matrices: Björn Ottosson, "A perceptual color space for image processing" (2020).
    """
    a, b = chroma * np.cos(2 * np.pi * hue), chroma * np.sin(2 * np.pi * hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.array(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ]
    ).clip(0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return tuple(float(channel) for channel in srgb)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    return tuple(x + (y - x) * share for x, y in zip(a, b, strict=True))


def darker(base: Colour, share: float = 0.3) -> Colour:
    return mix(base, (0.03, 0.03, 0.07), share)


def lighter(base: Colour, share: float = 0.3) -> Colour:
    return mix(base, (1.0, 1.0, 0.97), share)


@dataclass(frozen=True)
class Light:
    """Where the light of a scene comes from: a unit vector towards it on the picture (y down), and its strength."""

    towards: tuple[float, float]
    strength: float
    tint: Colour = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Paint:
    """What fills an outline. `second` is the texture's other colour, `towards` the end of a top to bottom gradient."""

    base: Colour
    second: Colour | None = None
    texture: str = "plain"
    scale_px: float = 8.0
    angle: float = 0.0
    towards: Colour | None = None
    is_round: bool = False
    gloss: float = 0.0
    rim: float = 0.25
    opacity: float = 1.0

    def but(self, **changes) -> "Paint":
        return replace(self, **changes)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> np.ndarray:
    """Noise (H, W) of about 0..1 whose bumps are `scale_px` wide: a small random grid, enlarged."""
    h, w = shape
    grid = rng.random((int(h / scale_px) + 3, int(w / scale_px) + 3), dtype=np.float32)
    size = (int(grid.shape[1] * scale_px) + 1, int(grid.shape[0] * scale_px) + 1)
    return np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC))[:h, :w]


def cloudy(rng, x, y, scale_px):
    """Three octaves of noise."""
    total = sum(_smooth_noise(rng, x.shape, max(scale_px * s, 1.0)) * s for s in (1.0, 0.5, 0.25)) / 1.75
    return (total - 0.5) * 1.8 + 0.5


def grain(rng, x, y, scale_px):
    return rng.random(x.shape, dtype=np.float32)


def stripes(rng, x, y, scale_px):
    return _edge(np.sin(x * (np.pi / scale_px)), scale_px)


def checker(rng, x, y, scale_px):
    return _edge(np.sin(x * (np.pi / scale_px)) * np.sin(y * (np.pi / scale_px)), scale_px)


def dots(rng, x, y, scale_px):
    return _edge(0.45 + np.cos(x * (np.pi / scale_px)) * np.cos(y * (np.pi / scale_px)) - 0.9, scale_px)


def wood(rng, x, y, scale_px):
    """Long fibres along x."""
    bend = _smooth_noise(rng, x.shape, scale_px * 5) * 5
    fibres = 0.5 + 0.5 * np.sin(y * (2 * np.pi / scale_px) * 0.6 + bend * 2.2 + x * 0.01)
    return 0.75 * fibres + 0.25 * rng.random((x.shape[0], 1), dtype=np.float32)


def brick(rng, x, y, scale_px):
    """1 on the joints between bricks, a little noise on them."""
    row = np.floor(y / scale_px)
    along = np.mod(x + row * scale_px, 2 * scale_px)
    down = np.mod(y, scale_px)
    joint = max(1.0, scale_px * 0.12)
    shade = np.mod(
        np.sin(row * 12.9898 + np.floor((x + row * scale_px) / (2 * scale_px)) * 78.233) * 43.7, 1.0
    )
    return np.where((along < joint) | (down < joint), 1.0, 0.35 * np.abs(shade))


def _edge(wave: np.ndarray, scale_px: float) -> np.ndarray:
    """A wave in -1..1 as a soft-edged 0..1 pattern."""
    return np.clip(wave * max(scale_px * 0.5, 1.0) + 0.5, 0, 1)


TEXTURES = {f.__name__: f for f in (cloudy, grain, stripes, checker, dots, wood, brick)}


def fill(paint: Paint, covered: np.ndarray, origin_xy, frame, light: Light, rng, blur) -> np.ndarray:
    """Colours (h, w, 3) of the window that starts at `origin_xy`; `frame` is the outline's whole box (x0, y0, x1, y1).

    The frame, not the window, places gradient and light, so that a shape cut by the picture's border looks cut.
    """
    h, w = covered.shape
    x = origin_xy[0] + np.arange(w, dtype=np.float32)[None, :] + np.zeros((h, 1), np.float32)
    y = origin_xy[1] + np.arange(h, dtype=np.float32)[:, None] + np.zeros((1, w), np.float32)
    u = (2 * x + 1 - frame[0] - frame[2]) / max(frame[2] - frame[0], 1e-6)
    v = (2 * y + 1 - frame[1] - frame[3]) / max(frame[3] - frame[1], 1e-6)
    rgb = np.broadcast_to(np.asarray(paint.base, np.float32), (h, w, 3))
    if paint.towards is not None:
        share = np.clip(0.5 + 0.5 * v, 0, 1)[..., None]
        rgb = rgb + (np.asarray(paint.towards, np.float32) - rgb) * share
    if paint.texture != "plain":
        c, s = np.cos(paint.angle), np.sin(paint.angle)
        pattern = TEXTURES[paint.texture](rng, c * x + s * y, c * y - s * x, paint.scale_px)
        rgb = rgb + (np.asarray(paint.second, np.float32) - rgb) * pattern[..., None].astype(np.float32)
    return _lit(rgb, paint, covered, u, v, light, blur)


def _lit(rgb, paint: Paint, covered, u, v, light: Light, blur) -> np.ndarray:
    """Shade towards the far side from the light, darken the rim, add a highlight."""
    facing = u * light.towards[0] + v * light.towards[1]
    if paint.is_round:
        depth = np.sqrt(np.clip(1.0 - u * u - v * v, 0, 1))
        lit = 1.0 + light.strength * (0.9 * (0.45 * facing + 0.9 * depth) - 0.62)
    else:
        lit = 1.0 + light.strength * 0.28 * np.clip(facing, -1, 1)
    if paint.rim > 0:
        inside = blur(covered, max(1.0, 0.03 * max(covered.shape)))
        lit = lit - paint.rim * np.clip(1.15 - inside, 0, 0.6)
    rgb = rgb * (lit[..., None] * np.asarray(light.tint, np.float32))
    if paint.gloss > 0:
        away = (u - 0.42 * light.towards[0]) ** 2 + (v - 0.42 * light.towards[1]) ** 2
        rgb = rgb + (paint.gloss * np.exp(-away * 18.0))[..., None]
    return np.clip(rgb, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Palette:
    """Colours that go together: a few hues of one scheme."""

    hues: tuple[float, ...]
    chroma: float

    @classmethod
    def pick(cls, rng: np.random.Generator) -> "Palette":
        first = rng.random()
        schemes = (
            (0, 0.08, 0.5),
            (0, 1 / 3, 2 / 3),
            (0, 0.12, 0.24, 0.55),
            (0, 0.25, 0.5, 0.75),
            (0, 0.45, 0.55),
        )
        offsets = schemes[rng.integers(len(schemes))]
        return cls(tuple((first + o) % 1.0 for o in offsets), float(rng.uniform(0.10, 0.17)))

    def strong(self, rng: np.random.Generator) -> Colour:
        """A colour for a thing."""
        hue = self.hues[rng.integers(len(self.hues))] + rng.normal(0, 0.02)
        return colour(rng.uniform(0.42, 0.82), self.chroma * rng.uniform(0.8, 1.2), hue)

    def calm(self, rng: np.random.Generator, lightness: float) -> Colour:
        """A colour for a background."""
        return colour(
            lightness, self.chroma * rng.uniform(0.15, 0.4), self.hues[rng.integers(len(self.hues))]
        )
