"""Outlines of many kinds: ellipses, polygons, stars, blobs, rings, strokes, ridges.

An outline is a list of closed rings, each (P, 2) float64 in pixels of the image, (x, y) with y down.
Outer rings run clockwise on the screen, holes the other way. Angles are radians, clockwise.
"""

from itertools import pairwise

import numpy as np

Outline = list[np.ndarray]

#: Corners snap to this fraction of a pixel, so that the last bit of a sine, which differs between
#: processors, never moves the edge of a mask.
SNAP = 256.0


def closed(points, is_hole: bool = False) -> Outline:
    """One ring through `points` (P, 2), turned the way its role asks for."""
    ring = np.round(np.asarray(points, dtype=np.float64) * SNAP) / SNAP
    following = np.roll(ring, -1, axis=0)
    twice_area = float(np.sum(ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]))
    return [ring if (twice_area >= 0) != is_hole else ring[::-1].copy()]


def _angles(radius_px: float, start: float = 0.0, stop: float = 2 * np.pi) -> np.ndarray:
    """Enough angles for a smooth arc of that radius, without the last one."""
    n = int(np.clip(2.0 * radius_px * (stop - start) / (2 * np.pi) + 12, 12, 400))
    return np.linspace(start, stop, n, endpoint=False)


def turned(points: np.ndarray, centre, angle: float) -> np.ndarray:
    """Turn `points` around `centre`."""
    c, s = np.cos(angle), np.sin(angle)
    return (np.asarray(points) - centre) @ np.array([[c, s], [-s, c]]) + centre


def ellipse(
    x: float, y: float, rx: float, ry: float | None = None, turn: float = 0.0, is_hole=False
) -> Outline:
    ry = rx if ry is None else ry
    a = _angles(max(rx, ry))
    points = np.stack([x + rx * np.cos(a), y + ry * np.sin(a)], axis=1)
    return closed(turned(points, (x, y), turn), is_hole)


def ring(x: float, y: float, outer: float, inner: float, squash: float = 1.0, turn: float = 0.0) -> Outline:
    """A ring: an ellipse of half width `outer` with one of half width `inner` cut out; `squash` is height / width."""
    return ellipse(x, y, outer, outer * squash, turn) + ellipse(
        x, y, inner, inner * squash, turn, is_hole=True
    )


def polygon(points) -> Outline:
    return closed(points)


def regular(x: float, y: float, r: float, n: int, turn: float = 0.0) -> Outline:
    """A regular polygon of n corners on a circle."""
    a = turn - np.pi / 2 + np.arange(n) * 2 * np.pi / n
    return closed(np.stack([x + r * np.cos(a), y + r * np.sin(a)], axis=1))


def star(x: float, y: float, r: float, n: int, inner_share: float, turn: float = 0.0) -> Outline:
    """A star of n points whose notches lie at `inner_share` of the radius."""
    a = turn - np.pi / 2 + np.arange(2 * n) * np.pi / n
    radii = np.where(np.arange(2 * n) % 2 == 0, r, r * inner_share)
    return closed(np.stack([x + radii * np.cos(a), y + radii * np.sin(a)], axis=1))


def blob(
    rng: np.random.Generator, x: float, y: float, rx: float, ry: float | None = None, wobble=0.18
) -> Outline:
    """A rounded blob: an ellipse whose radius wavers by harmonics 2 to 5 with falling strength."""
    ry = rx if ry is None else ry
    a = _angles(1.5 * max(rx, ry))
    waver = np.ones_like(a)
    for harmonic in range(2, 6):
        waver += (
            wobble * rng.uniform(0.3, 1.0) / harmonic * 1.6 * np.cos(harmonic * a + rng.uniform(0, 2 * np.pi))
        )
    return closed(np.stack([x + rx * waver * np.cos(a), y + ry * waver * np.sin(a)], axis=1))


def box(x: float, y: float, w: float, h: float, corner: float = 0.0, turn: float = 0.0) -> Outline:
    """A rectangle from its top left corner, its corners rounded by radius `corner`."""
    corner = min(corner, w / 2, h / 2)
    if corner <= 0:
        points = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], dtype=float)
    else:
        middles = (
            (x + w - corner, y + h - corner),
            (x + corner, y + h - corner),
            (x + corner, y + corner),
            (x + w - corner, y + corner),
        )
        arcs = []
        for quarter, (mx, my) in enumerate(middles):
            a = np.linspace(quarter * np.pi / 2, (quarter + 1) * np.pi / 2, max(4, int(corner) + 3))
            arcs.append(np.stack([mx + corner * np.cos(a), my + corner * np.sin(a)], axis=1))
        points = np.concatenate(arcs)
    return closed(turned(points, (x + w / 2, y + h / 2), turn))


def stroke(points, width: float, end_width: float | None = None) -> Outline:
    """A band of `width` px along a line of points, narrowing to `end_width`; round joints."""
    line = np.asarray(points, dtype=np.float64)
    widths = np.linspace(width, width if end_width is None else end_width, len(line))
    outline: Outline = []
    for (a, b), (wa, wb) in zip(pairwise(line), pairwise(widths), strict=True):
        along = b - a
        normal = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9) / 2
        outline += closed([a + normal * wa, b + normal * wb, b - normal * wb, a - normal * wa])
    for joint, w in zip(line[1:-1], widths[1:-1], strict=True):
        outline += ellipse(*joint, w / 2)
    return outline


def curve(start, bend, end, n: int = 16) -> np.ndarray:
    """n points on the quadratic Bézier curve from `start` to `end`, drawn towards `bend`."""
    t = np.linspace(0, 1, n)[:, None]
    return (1 - t) ** 2 * np.asarray(start) + 2 * t * (1 - t) * np.asarray(bend) + t**2 * np.asarray(end)


def leaf(x: float, y: float, length: float, width: float, turn: float) -> Outline:
    """A pointed leaf that starts at (x, y) and points along `turn`."""
    tip = (x + length, y)
    upper = curve((x, y), (x + length * 0.45, y - width), tip)
    lower = curve(tip, (x + length * 0.45, y + width), (x, y))
    return closed(turned(np.concatenate([upper, lower[1:-1]]), (x, y), turn))


def crescent(x: float, y: float, r: float, thickness: float, turn: float = 0.0) -> Outline:
    """A moon's sickle, `thickness` of its radius wide in the middle."""
    outer = np.linspace(-np.pi / 2, np.pi / 2, 60)
    a = np.stack([x + r * np.cos(outer), y + r * np.sin(outer)], axis=1)
    inner = outer[::-1][1:-1]
    b = np.stack([x + r * (1 - thickness) * np.cos(inner), y + r * np.sin(inner)], axis=1)
    return closed(turned(np.concatenate([a, b]), (x, y), turn))


def puff(rng: np.random.Generator, x: float, y: float, rx: float, ry: float, n: int = 6) -> Outline:
    """A cloud or a treetop: circles around an ellipse."""
    outline = ellipse(x, y, rx * 0.75, ry * 0.7)
    for i in range(n):
        a = 2 * np.pi * (i + rng.uniform(-0.25, 0.25)) / n
        r = rng.uniform(0.34, 0.5) * min(rx, ry) * (1.0 + 0.25 * (rx > ry))
        outline += ellipse(x + 0.66 * rx * np.cos(a), y + 0.6 * ry * np.sin(a), r)
    return outline


def ridge(
    rng: np.random.Generator, width: int, height: int, y: float, swing: float, n_waves: float
) -> Outline:
    """Hills, dunes or a floor: everything below a wavy line around `y`, down to the bottom."""
    x = np.arange(-2.0, width + 3.0, 2.0)
    line = np.full_like(x, y)
    for octave in range(4):
        waves = n_waves * 1.9**octave
        line += swing * 0.5**octave * np.sin(2 * np.pi * waves * x / width + rng.uniform(0, 2 * np.pi))
    return closed(np.concatenate([np.stack([x, line], axis=1), [[width + 2, height + 2], [-2, height + 2]]]))
