"""Planets, rockets, satellites, stones and stars before a nebula."""

import numpy as np

from ..outlines import blob, box, curve, ellipse, leaf, polygon, ring, star, turned
from ..paint import colour, darker, lighter
from ..stage import Layer, Shape, Stage, Thing


def planet(stage: Stage, x: float, y: float, s: float) -> Thing:
    """s px wide, banded or cratered, sometimes ringed."""
    r, base = s / 2, stage.strong()
    turn = stage.uniform(-0.5, 0.5)
    ground = stage.plain(
        base, second=darker(base, 0.35), texture="cloudy", scale_px=max(3, r * 0.4), is_round=True, rim=0.0
    )
    if stage.chance(0.5):
        marks = tuple(
            Shape(ellipse(x + r * a, y + r * b, r * c), stage.plain(darker(base, 0.3), rim=0.5), "crater")
            for a, b, c in (
                (stage.uniform(-0.7, 0.7), stage.uniform(-0.7, 0.7), stage.uniform(0.06, 0.22))
                for _ in range(stage.integer(3, 7))
            )
        )
    else:
        marks = tuple(
            Shape(
                box(x - 1.2 * r, y + r * f, 2.4 * r, r * stage.uniform(0.1, 0.24)),
                stage.plain(stage.choice(lighter(base, 0.3), darker(base, 0.25)), rim=0, is_round=False),
                "band",
            )
            for f in (-0.55, -0.1, 0.35)
        )
    ball = Shape(ellipse(x, y, r), ground, "globe", marks)
    if stage.chance(0.45):
        hoop = ring(x, y, r * 1.75, r * 1.3, 0.26, turn)
        paint = stage.plain(lighter(stage.strong(), 0.2), rim=0.15)
        return Thing(
            "planet", (Shape(hoop, paint), ball, Shape(_lower_half(hoop, x, y, turn), paint, "ring"))
        )
    return Thing("planet", (ball,))


def _lower_half(hoop, x: float, y: float, turn: float):
    """The half of a ring that passes before its planet."""
    outer, inner = (turned(part, (x, y), -turn) for part in hoop)
    outer, inner = outer[outer[:, 1] >= y], inner[inner[:, 1] >= y]
    outer, inner = outer[np.argsort(outer[:, 0])], inner[np.argsort(-inner[:, 0])]
    return polygon(turned(np.concatenate([outer, inner]), (x, y), turn))


def rocket(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Middle at (x, y), s px long, turned at will."""
    turn, base = stage.uniform(-1.2, 1.2), stage.strong()

    def at(points):
        return turned(np.array([(x + fx * s, y + fy * s) for fx, fy in points]), (x, y), turn)

    hull = np.concatenate(
        [curve((0, -0.5), (-0.2, -0.2), (-0.13, 0.3)), curve((0.13, 0.3), (0.2, -0.2), (0, -0.5))]
    )
    nose = np.concatenate(
        [curve((0, -0.5), (-0.1, -0.35), (-0.13, -0.22), 8), curve((0.13, -0.22), (0.1, -0.35), (0, -0.5), 8)]
    )
    flame = Shape(
        polygon(
            at([(-0.09, 0.3), (-0.13, 0.42), (-0.05, 0.5), (0, 0.68), (0.05, 0.5), (0.13, 0.42), (0.09, 0.3)])
        ),
        stage.plain(colour(0.85, 0.16, 0.22), rim=0.1, towards=colour(0.65, 0.2, 0.1)),
        "flame",
    )
    fin_paint = stage.plain(stage.strong())
    fins = tuple(
        Shape(polygon(at([(k * 0.1, 0.1), (k * 0.27, 0.38), (k * 0.1, 0.3)])), fin_paint, "fin")
        for k in (-1, 1)
    )
    panes = []
    for fy, r in ((-0.08, 0.065), (0.12, 0.045)):
        centre = at([(0, fy)])[0]
        glass = Shape(
            ellipse(*centre, r * s * 0.7), stage.plain(colour(0.65, 0.1, 0.62), is_round=True, gloss=0.3)
        )
        panes.append(Shape(ellipse(*centre, r * s), stage.plain(colour(0.8, 0.02, 0.6)), "window", (glass,)))
    body = Shape(
        polygon(at(hull)),
        stage.plain(lighter(base, 0.55), rim=0.35),
        "body",
        (Shape(polygon(at(nose)), stage.plain(base), "nose"), *panes),
    )
    return Thing("rocket", (flame, *fins, body))


def satellite(stage: Stage, x: float, y: float, s: float) -> Thing:
    turn = stage.uniform(-0.8, 0.8)

    def place(outline):
        return [turned(part, (x, y), turn) for part in outline]

    cell = stage.plain(
        colour(0.42, 0.12, 0.7),
        second=colour(0.75, 0.05, 0.68),
        texture="checker",
        scale_px=max(3, s * 0.05),
        angle=turn,
    )
    wings = tuple(
        Shape(place(box(x + k * s * 0.3 - s * 0.2, y - s * 0.1, s * 0.4, s * 0.2)), cell, "panel")
        for k in (-1, 1)
    )
    boom = Shape(
        place(box(x - s * 0.15, y - s * 0.015, s * 0.3, s * 0.03)), stage.plain(colour(0.7, 0.01, 0.2), rim=0)
    )
    body = Shape(
        place(box(x - s * 0.08, y - s * 0.13, s * 0.16, s * 0.26, s * 0.02)),
        stage.plain(colour(0.82, 0.08, 0.24)),
        "body",
    )
    dish = Shape(
        place(ellipse(x, y - s * 0.2, s * 0.1, s * 0.045)), stage.plain(colour(0.9, 0.01, 0.2)), "dish"
    )
    return Thing("satellite", (*wings, boom, dish, body))


def saucer(stage: Stage, x: float, y: float, s: float) -> Thing:
    base = stage.strong()
    dome = Shape(
        ellipse(x, y - s * 0.09, s * 0.22, s * 0.2),
        stage.plain(colour(0.85, 0.06, 0.6), gloss=0.4, is_round=True),
        "dome",
    )
    lights = tuple(
        Shape(
            ellipse(x + s * f, y + s * 0.03, s * 0.03), stage.plain(colour(0.92, 0.12, 0.25), rim=0), "light"
        )
        for f in (-0.34, -0.17, 0, 0.17, 0.34)
    )
    return Thing(
        "saucer",
        (
            dome,
            Shape(
                ellipse(x, y, s * 0.5, s * 0.15), stage.plain(base, is_round=True, gloss=0.15), "hull", lights
            ),
        ),
    )


def asteroid(stage: Stage, x: float, y: float, s: float) -> Thing:
    grey = colour(stage.uniform(0.45, 0.65), 0.03, stage.uniform(0, 0.3))
    pits = tuple(
        Shape(
            ellipse(
                x + s * stage.uniform(-0.25, 0.25),
                y + s * stage.uniform(-0.25, 0.25),
                s * stage.uniform(0.04, 0.1),
            ),
            stage.plain(darker(grey, 0.3), rim=0.5),
            "pit",
        )
        for _ in range(stage.integer(1, 4))
    )
    paint = stage.plain(
        grey, second=darker(grey, 0.4), texture="cloudy", scale_px=max(3, s * 0.1), is_round=True
    )
    return Thing("asteroid", (Shape(blob(stage.rng, x, y, s * 0.45, s * 0.36, 0.3), paint, None, pits),))


def comet(stage: Stage, x: float, y: float, s: float) -> Thing:
    angle, ice = stage.uniform(-0.8, -0.2), colour(0.9, 0.06, 0.6)
    tail = Shape(leaf(x, y, s, s * 0.16, angle), stage.plain(ice, opacity=0.7, rim=0), "tail")
    return Thing(
        "comet", (tail, Shape(ellipse(x, y, s * 0.1), stage.plain(lighter(ice, 0.6), is_round=True), "head"))
    )


def spark(stage: Stage, x: float, y: float, r: float) -> Thing:
    paint = stage.plain(colour(0.96, 0.05, stage.uniform(0, 1)), rim=0)
    return Thing(
        "star",
        (Shape(stage.choice(star(x, y, r, 4, 0.35), star(x, y, r, 5, 0.5), ellipse(x, y, r * 0.6)), paint),),
    )


def compose(stage: Stage) -> list[Layer]:
    w, h, u = stage.width, stage.height, stage.unit
    hue = stage.uniform(0.6, 0.95)
    dark = colour(stage.uniform(0.16, 0.26), 0.07, hue)
    nebula = stage.backdrop(
        dark, "cloudy", u * stage.uniform(20, 45), second=colour(0.4, 0.11, hue + stage.uniform(-0.15, 0.15))
    )
    far = [Thing("space", (Shape(box(0, 0, w, h), nebula),))]
    far += [
        spark(stage, w * stage.uniform(0, 1), h * stage.uniform(0, 1), u * stage.uniform(0.5, 2.2))
        for _ in range(stage.integer(12, 35))
    ]
    things = [
        planet(stage, w * stage.uniform(0.05, 0.95), h * stage.uniform(0.1, 0.9), u * stage.uniform(10, 48))
        for _ in range(stage.integer(2, 4))
    ]
    for _ in range(stage.integer(4, 9)):
        build, size = stage.choice(
            (rocket, 30), (satellite, 30), (saucer, 26), (asteroid, 14), (asteroid, 8), (comet, 26)
        )
        things.append(
            build(
                stage,
                w * stage.uniform(0.05, 0.95),
                h * stage.uniform(0.06, 0.94),
                u * size * stage.uniform(0.6, 1.35),
            )
        )
    return [Layer(tuple(far)), Layer(tuple(things))]
