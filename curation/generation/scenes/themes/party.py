"""A party: people, balloons, presents, cakes, bunting and confetti."""

import numpy as np

from ..outlines import box, curve, ellipse, leaf, polygon, regular, ring, star, stroke
from ..paint import colour, darker, lighter
from ..stage import Layer, Shape, Stage, Thing, group


def person(stage: Stage, x: float, y: float, s: float) -> Thing:
    """A person down to the chest: head in the middle at (x, y), s px high, sometimes with a hat or glasses."""
    r = s / 2
    skin = colour(stage.uniform(0.5, 0.87), 0.07, stage.uniform(0.12, 0.19))
    hair_paint = stage.plain(
        colour(stage.uniform(0.22, 0.7), 0.08, stage.uniform(0.08, 0.22)),
        second=colour(0.2, 0.04, 0.15),
        texture="wood",
        scale_px=max(2, r * 0.08),
        angle=np.pi / 2,
    )
    ears = tuple(
        Shape(
            ellipse(x + k * r * 0.76, y + r * 0.05, r * 0.13, r * 0.19),
            stage.plain(darker(skin, 0.08)),
            "ear",
        )
        for k in (-1, 1)
    )
    eyes = tuple(_eye(stage, x + k * r * 0.3, y - r * 0.06, r * 0.17) for k in (-1, 1))
    nose = Shape(
        ellipse(x, y + r * 0.2, r * 0.09, r * 0.12), stage.plain(darker(skin, 0.12), is_round=True), "nose"
    )
    smile = polygon(
        np.concatenate(
            [
                curve(
                    (x - r * 0.3, y + r * 0.46),
                    (x, y + r * stage.uniform(0.45, 0.6)),
                    (x + r * 0.3, y + r * 0.46),
                ),
                curve((x + r * 0.3, y + r * 0.46), (x, y + r * 0.98), (x - r * 0.3, y + r * 0.46))[1:-1],
            ]
        )
    )
    mouth = Shape(smile, stage.plain(colour(0.5, 0.16, 0.05)), "mouth")
    fringe = Shape(ellipse(x, y - r * 0.85, r * 0.8, r * 0.42), hair_paint, None)
    head = Shape(
        ellipse(x, y, r * 0.78, r * 0.95),
        stage.plain(skin, gloss=0.08, rim=0.3),
        "face",
        (fringe, *eyes, nose, mouth),
    )
    hair = Shape(ellipse(x, y - r * 0.2, r * 0.92, r * stage.uniform(0.85, 1.1)), hair_paint, "hair")
    neck = Shape(box(x - r * 0.3, y + r * 0.6, r * 0.6, r * 0.7), stage.plain(darker(skin, 0.15)), "neck")
    foot = max(y + r * 3.1, stage.height + 2.0)
    chest = polygon(
        np.concatenate(
            [
                curve((x - r * 1.2, y + r * 3), (x - r * 1.35, y + r * 0.95), (x, y + r * 1.05)),
                curve((x, y + r * 1.05), (x + r * 1.35, y + r * 0.95), (x + r * 1.2, y + r * 3)),
                [(x + r * 1.2, foot), (x - r * 1.2, foot)],
            ]
        )
    )
    shirt = Shape(chest, stage.patterned(r * 1.5, rim=0.3), "shirt")
    return Thing("person", (hair, neck, shirt, *ears, head, *_headwear(stage, x, y, r)), "drop")


def _eye(stage: Stage, x: float, y: float, r: float) -> Shape:
    pupil = Shape(ellipse(x, y, r * 0.28), stage.plain(colour(0.12, 0, 0), rim=0))
    iris = Shape(
        ellipse(x, y, r * 0.55), stage.plain(colour(0.5, 0.1, stage.uniform(0, 1)), rim=0.2), "iris", (pupil,)
    )
    return Shape(ellipse(x, y, r, r * 0.8), stage.plain(colour(0.98, 0, 0), rim=0.15), "eye", (iris,))


def _headwear(stage: Stage, x: float, y: float, r: float) -> tuple[Shape, ...]:
    worn = stage.choice("nothing", "hat", "glasses")
    if worn == "glasses":
        frame = stage.plain(colour(0.25, 0.05, stage.uniform(0, 1)), rim=0)
        rims = tuple(Shape(ring(x + k * r * 0.3, y - r * 0.06, r * 0.26, r * 0.21), frame) for k in (-1, 1))
        return (group("glasses", *rims, Shape(box(x - r * 0.06, y - r * 0.09, r * 0.12, r * 0.06), frame)),)
    if worn == "hat":
        cone = polygon(
            [
                (x - r * 0.55, y - r * 0.62),
                (x + stage.uniform(-0.2, 0.2) * r, y - r * 1.75),
                (x + r * 0.55, y - r * 0.62),
            ]
        )
        spots = tuple(
            Shape(ellipse(x + r * fx, y - r * fy, r * 0.09), stage.plain(rim=0), "dot")
            for fx, fy in ((-0.2, 0.8), (0.15, 0.85), (-0.02, 1.15), (0.0, 1.45))
        )
        return (Shape(cone, stage.plain(), "hat", spots),)
    return ()


def balloon(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Middle at (x, y), s px high, on a thin string."""
    base = stage.plain(is_round=True, gloss=0.6, rim=0.1)
    end = (x + s * stage.uniform(-0.4, 0.4), y + s * stage.uniform(1.1, 1.8))
    string = Shape(
        stroke(
            curve((x, y + s * 0.52), (x + s * stage.uniform(-0.3, 0.3), y + s * 0.9), end),
            max(1.0, s * 0.015),
        ),
        stage.plain(colour(0.9, 0.01, 0.2), rim=0),
        "string",
    )
    knot = Shape(
        polygon([(x, y + s * 0.47), (x + s * 0.06, y + s * 0.55), (x - s * 0.06, y + s * 0.55)]),
        stage.plain(darker(base.base, 0.2)),
    )
    return Thing("balloon", (string, knot, Shape(ellipse(x, y, s * 0.4, s * 0.5), base, "skin")))


def present(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Stands on (x, y), s px wide."""
    h = s * stage.uniform(0.6, 1.1)
    ribbon = stage.plain(rim=0.2)
    across = Shape(box(x - s * 0.08, y - h, s * 0.16, h), ribbon, "ribbon")
    body = Shape(box(x - s / 2, y - h, s, h), stage.patterned(s), "box", (across,))
    lid_paint = stage.plain(darker(stage.strong(), 0.05))
    lid = Shape(
        box(x - s * 0.55, y - h - s * 0.1, s * 1.1, s * 0.2, s * 0.02),
        lid_paint,
        "lid",
        (Shape(box(x - s * 0.08, y - h - s * 0.1, s * 0.16, s * 0.2), ribbon),),
    )
    loops = tuple(Shape(leaf(x, y - h - s * 0.1, s * 0.34, s * 0.2, a), ribbon) for a in (-0.5, np.pi + 0.5))
    return Thing("present", (body, lid, group("bow", *loops)), "ground")


def cake(stage: Stage, x: float, y: float, s: float) -> list[Thing]:
    """Tiers with candles, on (x, y), s px wide."""
    shapes, top, w = [], y, s
    for _ in range(stage.integer(1, 3)):
        h = s * 0.26
        sponge, icing = colour(0.72, 0.08, stage.uniform(0.1, 0.2)), lighter(stage.strong(), 0.5)
        drops = [
            ellipse(x - w / 2 + (i + 0.5) * w / 7, top - h * stage.uniform(0.55, 0.75), w / 13, h * 0.25)
            for i in range(7)
        ]
        frosting = Shape(
            box(x - w / 2, top - h, w, h * 0.35) + [r for d in drops for r in d],
            stage.plain(icing, rim=0.2),
            "icing",
        )
        shapes.append(
            Shape(
                box(x - w / 2, top - h, w, h, h * 0.15),
                stage.plain(sponge, second=darker(sponge, 0.15), texture="grain"),
                "tier",
                (frosting,),
            )
        )
        top, w = top - h, w * 0.7
    candles = []
    for fx in np.linspace(-0.4, 0.4, stage.integer(2, 5)):
        cx = x + fx * w
        wax = Shape(
            box(cx - s * 0.015, top - s * 0.16, s * 0.03, s * 0.17),
            stage.plain(second=colour(0.97, 0, 0), texture="stripes", scale_px=max(2, s * 0.02), angle=0.8),
            "wax",
        )
        flame = Shape(
            leaf(cx, top - s * 0.15, s * 0.09, s * 0.045, -np.pi / 2),
            stage.plain(colour(0.88, 0.15, 0.23), rim=0),
            "flame",
        )
        candles.append(Thing("candle", (wax, flame)))
    return [*candles, Thing("cake", tuple(shapes), "ground")]


def bunting(stage: Stage, y: float) -> Thing:
    """A string of flags across the frame."""
    w, sag = stage.width, stage.height * stage.uniform(0.06, 0.14)
    line = curve((-5, y), (w / 2, y + 2 * sag), (w + 5, y + stage.uniform(-0.05, 0.05) * stage.height), 40)
    cord = Shape(stroke(line, max(1.0, stage.unit * 0.5)), stage.plain(colour(0.9, 0.02, 0.2), rim=0))
    size = stage.unit * stage.uniform(5, 9)
    flags = tuple(
        Shape(
            polygon([(px - size * 0.42, py), (px + size * 0.42, py), (px, py + size)]),
            stage.patterned(size),
            "flag",
        )
        for px, py in line[2:-2:3]
    )
    return Thing("bunting", (cord, *flags), "drop")


def confetti(stage: Stage, x: float, y: float) -> Thing:
    """A tiny thing."""
    s = stage.unit * stage.uniform(0.8, 1.9)
    outline = stage.choice(
        ellipse(x, y, s * 0.6),
        box(x, y, s * 1.4, s * 0.7, 0, stage.uniform(0, 3)),
        star(x, y, s, 5, 0.5, stage.uniform(0, 3)),
        regular(x, y, s * 0.8, 3, stage.uniform(0, 3)),
    )
    return Thing("confetti", (Shape(outline, stage.plain(rim=0.1)),))


def compose(stage: Stage) -> list[Layer]:
    w, h, u = stage.width, stage.height, stage.unit
    wall, floor = stage.calm(stage.uniform(0.7, 0.92)), stage.calm(stage.uniform(0.5, 0.68))
    texture, scale = stage.choice(("plain", 8.0), ("cloudy", 14 * u), ("stripes", 7 * u), ("dots", 4 * u))
    edge = h * stage.uniform(0.68, 0.8)
    back = (
        Thing(
            "wall",
            (Shape(box(0, 0, w, h), stage.backdrop(wall, texture, scale, second=lighter(wall, 0.25))),),
        ),
        Thing(
            "floor",
            (
                Shape(
                    box(0, edge, w, h - edge),
                    stage.backdrop(floor, stage.choice("wood", "checker", "cloudy"), 6 * u),
                ),
            ),
        ),
    )
    things = [bunting(stage, h * stage.uniform(0.02, 0.08))] if stage.chance(0.7) else []
    things += [
        balloon(
            stage, w * stage.uniform(0.04, 0.96), h * stage.uniform(0.12, 0.45), u * stage.uniform(12, 26)
        )
        for _ in range(stage.integer(3, 7))
    ]
    things += [
        person(stage, w * stage.uniform(0.1, 0.9), h * stage.uniform(0.42, 0.62), u * stage.uniform(18, 36))
        for _ in range(stage.integer(2, 4))
    ]
    for y in sorted(stage.uniform(edge + h * 0.04, h * 0.99) for _ in range(stage.integer(3, 6))):
        build, size = stage.choice((present, 18), (present, 24), (cake, 30))
        made = build(stage, w * stage.uniform(0.04, 0.96), y, u * size * stage.uniform(0.7, 1.2))
        things += made if isinstance(made, list) else [made]
    things += [
        confetti(stage, w * stage.uniform(0, 1), h * stage.uniform(0, 1))
        for _ in range(stage.choice(0, 12, 30))
    ]
    return [Layer(back, stage.choice(0.0, 1.0)), Layer(tuple(things))]
