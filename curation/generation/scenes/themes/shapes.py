"""Plain shapes of every kind and size on a patterned ground, with patterns and smaller shapes on them."""

import numpy as np

from ..outlines import Outline, blob, box, crescent, curve, ellipse, leaf, puff, regular, ring, star, stroke
from ..stage import Layer, Shape, Stage, Thing


def _outline(stage: Stage, x: float, y: float, r: float) -> tuple[str, Outline]:
    """A solid shape of about radius r."""
    turn = stage.uniform(0, 2 * np.pi)
    kinds = {
        "ellipse": lambda: ellipse(x, y, r, r * stage.uniform(0.45, 1.0), turn),
        "polygon": lambda: regular(x, y, r, stage.integer(3, 8), turn),
        "star": lambda: star(x, y, r, stage.integer(4, 9), stage.uniform(0.4, 0.7), turn),
        "blob": lambda: blob(
            stage.rng, x, y, r * 0.85, r * stage.uniform(0.5, 0.85), stage.uniform(0.15, 0.4)
        ),
        "bar": lambda: box(
            x - r, y - r * 0.3, 2 * r, r * stage.uniform(0.3, 0.8), r * stage.choice(0.0, 0.12, 0.4), turn
        ),
        "crescent": lambda: crescent(x, y, r, stage.uniform(0.35, 0.75), turn),
        "leaf": lambda: leaf(
            x - r * np.cos(turn), y - r * np.sin(turn), 2 * r, r * stage.uniform(0.5, 0.9), turn
        ),
        "cloud": lambda: puff(stage.rng, x, y, r, r * stage.uniform(0.5, 0.8)),
    }
    name = stage.choice(*kinds)
    return name, kinds[name]()


def solid(stage: Stage, x: float, y: float, r: float) -> Thing:
    """A solid shape, sometimes with bars, dots or other shapes on it as parts."""
    name, outline = _outline(stage, x, y, r)
    paint = stage.patterned(r * 2, is_round=stage.chance(0.35), gloss=stage.choice(0.0, 0.25))
    children: tuple[Shape, ...] = ()
    if r > 6 * stage.unit and stage.chance(0.6):
        paint = stage.plain(paint.base, is_round=paint.is_round, gloss=paint.gloss)
        children = _decoration(stage, x, y, r)
    return Thing(name, (Shape(outline, paint, None, children),), stage.choice("none", "drop", "drop"))


def _decoration(stage: Stage, x: float, y: float, r: float) -> tuple[Shape, ...]:
    kind = stage.choice("bars", "dots", "mixed")
    if kind == "bars":
        turn, paint = stage.uniform(0, np.pi), stage.plain(rim=0.1)
        across = np.array([-np.sin(turn), np.cos(turn)])
        return tuple(
            Shape(
                box(
                    x + d * r * across[0] - 1.5 * r,
                    y + d * r * across[1] - 0.09 * r,
                    3 * r,
                    0.18 * r,
                    0,
                    turn,
                ),
                paint,
                "bar",
            )
            for d in (-0.5, 0, 0.5)
        )
    places = [
        (x + stage.uniform(-0.5, 0.5) * r, y + stage.uniform(-0.5, 0.5) * r)
        for _ in range(stage.integer(2, 6))
    ]
    if kind == "dots":
        paint = stage.plain(is_round=True, gloss=0.2)
        return tuple(Shape(ellipse(*at, r * stage.uniform(0.08, 0.2)), paint, "dot") for at in places)
    return tuple(
        Shape(_outline(stage, *at, r * stage.uniform(0.15, 0.3))[1], stage.patterned(r * 0.5), "patch")
        for at in places
    )


def hoop(stage: Stage, x: float, y: float, r: float) -> Thing:
    inner = r * stage.uniform(0.45, 0.8)
    return Thing(
        "ring",
        (Shape(ring(x, y, r, inner, stage.uniform(0.5, 1.0), stage.uniform(0, 3)), stage.patterned(r)),),
        "drop",
    )


def stick(stage: Stage, x: float, y: float, r: float) -> Thing:
    """A thin line, straight, bent or angular."""
    a = stage.uniform(0, 2 * np.pi)
    ends = np.array([(x - r * np.cos(a), y - r * np.sin(a)), (x + r * np.cos(a), y + r * np.sin(a))])
    bend = (x + stage.uniform(-1, 1) * r, y + stage.uniform(-1, 1) * r)
    line = stage.choice(ends, curve(ends[0], bend, ends[1]), np.array([ends[0], bend, ends[1]]))
    return Thing(
        "line",
        (Shape(stroke(line, max(1.5, stage.unit * stage.uniform(0.4, 1.6))), stage.plain(rim=0.1)),),
        stage.choice("none", "drop"),
    )


def cross(stage: Stage, x: float, y: float, r: float) -> Thing:
    turn, thick = stage.uniform(0, 3), r * stage.uniform(0.25, 0.5)
    outline = box(x - r, y - thick / 2, 2 * r, thick, 0, turn) + box(
        x - thick / 2, y - r, thick, 2 * r, 0, turn
    )
    return Thing("cross", (Shape(outline, stage.patterned(r)),), "drop")


def compose(stage: Stage) -> list[Layer]:
    w, h, u = stage.width, stage.height, stage.unit
    ground, other = stage.calm(stage.uniform(0.25, 0.92)), stage.calm(stage.uniform(0.4, 0.85))
    texture, scale = stage.choice(
        ("plain", 8.0),
        ("cloudy", 22 * u),
        ("cloudy", 8 * u),
        ("grain", 2.0),
        ("checker", 9 * u),
        ("stripes", 8 * u),
        ("wood", 4 * u),
    )
    back = Thing(
        "ground",
        (
            Shape(
                box(0, 0, w, h),
                stage.backdrop(
                    ground, texture, scale, angle=stage.uniform(0, 3), towards=stage.choice(None, other)
                ),
            ),
        ),
    )
    sizes = np.sort(stage.rng.lognormal(np.log(8), 0.75, stage.integer(12, 34)).clip(1.2, 34))[::-1]
    things = []
    for size in sizes:
        build = stage.choice(solid, solid, solid, solid, hoop, stick, cross) if size > 2.5 else solid
        things.append(build(stage, w * stage.uniform(0, 1), h * stage.uniform(0, 1), u * float(size)))
    return [Layer((back,)), Layer(tuple(things))]
