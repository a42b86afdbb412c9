"""One scene: from a seed to pixels and exact masks."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from curation import masks
from curation.errors import InputError

from .paint import Light, Palette
from .raster import blur
from .render import Canvas
from .stage import Stage
from .themes import THEMES

#: width, height in px
DEFAULT_SIZE = (640, 480)
MIN_SIDE_PX, MAX_SIDE_PX = 32, 8192


@dataclass(frozen=True)
class Scene:
    """A picture and its gold.

    `pixels` (H, W, 3) uint8 RGB, before JPEG; `wholes` and `parts` with their names, in the order of
    painting; `part_of` (n_parts,) says for each part which whole it lies on.
    """

    seed: int
    index: int
    theme: str
    pixels: np.ndarray
    wholes: masks.Runs
    whole_names: tuple[str, ...]
    parts: masks.Runs
    part_names: tuple[str, ...]
    part_of: np.ndarray
    jpeg_quality: int

    def jpeg(self) -> bytes:
        """The picture as a camera would save it, in the quality that the scene drew."""
        data = io.BytesIO()
        Image.fromarray(self.pixels).save(data, "JPEG", quality=self.jpeg_quality)
        return data.getvalue()


def render(seed: int, index: int, size: tuple[int, int] = DEFAULT_SIZE, theme: str | None = None) -> Scene:
    """Scene `index` of a seed, `size` (width, height) px. Themes take turns by index unless one is named.

    Raises InputError on a negative seed or index, a side outside 32..8192 px, or an unknown theme.
    """
    _check(seed, index, size, theme)
    rng = np.random.Generator(np.random.PCG64([seed, index, *size]))
    theme = theme or tuple(THEMES)[index % len(THEMES)]
    angle = rng.uniform(-0.85, 0.85) - np.pi / 2
    tint = 1.0 + rng.uniform(-0.04, 0.04) * np.array([1.0, 0.2, -1.0])
    light = Light((float(np.cos(angle)), float(np.sin(angle))), float(rng.uniform(0.45, 0.85)), tuple(tint))
    stage = Stage(*size, Palette.pick(rng), light, rng)
    canvas = Canvas(stage)
    for layer in THEMES[theme](stage):
        canvas.paint(layer)
    named, runs = canvas.gold()
    is_whole = np.array([n.is_whole for n in named], dtype=bool)
    place = {n.whole: i for i, n in enumerate(n for n in named if n.is_whole)}
    return Scene(
        seed,
        index,
        theme,
        _develop(canvas.rgb, rng),
        runs[is_whole],
        tuple(n.name for n in named if n.is_whole),
        runs[~is_whole],
        tuple(n.name for n in named if not n.is_whole),
        np.array([place[n.whole] for n in named if not n.is_whole], dtype=np.int64),
        int(rng.integers(70, 96)),
    )


def _develop(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lens and sensor: a dark corner, a little softness, noise that grows in the dark, 8 bits."""
    h, w = rgb.shape[:2]
    y, x = np.linspace(-1, 1, h)[:, None], np.linspace(-1, 1, w)[None, :]
    rgb = rgb * (1.0 - rng.uniform(0.0, 0.16) * (x**2 + y**2) / 2)[..., None].astype(np.float32)
    rgb = blur(rgb, float(rng.choice([0.0, 0.0, 0.0, 1.0]) * min(h, w) / 480))
    noise = rng.standard_normal(rgb.shape, dtype=np.float32) * float(rng.uniform(0.002, 0.018))
    rgb = rgb + noise * (1.25 - rgb)
    return np.clip(rgb * 255.0 + 0.5, 0, 255).astype(np.uint8)


def _check(seed: int, index: int, size: tuple[int, int], theme: str | None) -> None:
    if seed < 0 or index < 0:
        raise InputError(f"scene: seed {seed}, index {index}; both must be 0 or more")
    if not all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in size):
        raise InputError(
            f"scene: size {size[0]}x{size[1]} px; each side must lie in {MIN_SIDE_PX}..{MAX_SIDE_PX} px"
        )
    if theme is not None and theme not in THEMES:
        raise InputError(f"scene: theme {theme!r}; choose one of {', '.join(THEMES)}")
