"""A street with tall buildings, cars, lamps, signs and people, by day or at night."""

import numpy as np

from ..outlines import box, crescent, ellipse, polygon, regular, stroke
from ..paint import colour, darker, lighter, mix
from ..stage import Layer, Shape, Stage, Thing
from .meadow import cloud, tree


def building(stage: Stage, x: float, y: float, w: float, h: float, haze: float) -> Thing:
    """Bottom left corner at (x, y). `haze` 0..1 fades it into the distance; the windows of far ones are only painted."""
    air = colour(0.8, 0.03, 0.68)
    wall = mix(lighter(stage.strong(), stage.uniform(0.0, 0.35)), air, haze)
    walls = stage.plain(
        wall,
        second=darker(wall, 0.15),
        texture=stage.choice("plain", "brick", "grain"),
        scale_px=max(4, w * 0.05),
        rim=0.12,
    )
    glass = mix(
        stage.choice(colour(0.5, 0.06, 0.66), colour(0.86, 0.11, 0.24), colour(0.35, 0.04, 0.7)), air, haze
    )
    columns = max(2, int(w / (stage.unit * stage.uniform(5, 8))))
    rows = max(2, int(h / (stage.unit * stage.uniform(6, 10))))
    cw, ch = w / columns, h / (rows + 0.5)
    pane_w, pane_h = cw * stage.uniform(0.45, 0.7), ch * stage.uniform(0.45, 0.75)
    panes = tuple(
        Shape(
            box(x + (i + 0.5) * cw - pane_w / 2, y - h + (j + 0.6) * ch - pane_h / 2, pane_w, pane_h),
            stage.plain(lighter(glass, stage.uniform(0, 0.3)), rim=0.4),
            "window" if haze < 0.3 else None,
        )
        for i in range(columns)
        for j in range(rows)
    )
    top = Shape(
        box(x - w * 0.03, y - h - stage.unit, w * 1.06, stage.unit * 2), stage.plain(darker(wall, 0.2))
    )
    return Thing("building", (Shape(box(x, y - h, w, h), walls, None, panes), top))


def car(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Wheels touch the ground at y; x is its middle, s its length in px."""
    way = stage.choice(-1, 1)

    def at(fx: float, fy: float) -> tuple[float, float]:
        return x + way * fx * s, y - fy * s

    body_paint = stage.plain(stage.strong(), gloss=0.12, rim=0.3)
    roof = stage.uniform(0.36, 0.46)
    cabin = polygon([at(-0.3, 0.2), at(-0.2, roof), at(0.12, roof), at(0.27, 0.2)])
    glass = stage.plain(colour(0.75, 0.05, 0.65), towards=colour(0.5, 0.06, 0.67), rim=0.3)
    panes = (
        Shape(
            polygon([at(-0.24, 0.24), at(-0.17, roof - 0.03), at(-0.05, roof - 0.03), at(-0.05, 0.24)]),
            glass,
            "window",
        ),
        Shape(
            polygon([at(-0.02, 0.24), at(-0.02, roof - 0.03), at(0.1, roof - 0.03), at(0.2, 0.24)]),
            glass,
            "window",
        ),
    )
    low = polygon(
        [
            at(-0.5, 0.1),
            at(-0.49, 0.22),
            at(-0.3, 0.25),
            at(0.27, 0.25),
            at(0.47, 0.2),
            at(0.5, 0.08),
            at(0.48, 0.06),
            at(-0.48, 0.06),
        ]
    )
    stripe = Shape(
        box(x - s / 2, y - 0.15 * s, s, 0.02 * s), stage.plain(darker(body_paint.base, 0.3), rim=0)
    )
    lamp = Shape(ellipse(*at(0.46, 0.165), s * 0.03), stage.plain(colour(0.95, 0.08, 0.27), rim=0.1), "lamp")
    wheels = tuple(_wheel(stage, *at(fx, 0.09), s * 0.1) for fx in (-0.3, 0.3))
    return Thing(
        "car",
        (Shape(cabin, body_paint, None, panes), Shape(low, body_paint, None, (stripe, lamp)), *wheels),
        "ground",
    )


def _wheel(stage: Stage, x: float, y: float, r: float) -> Shape:
    rubber, metal = (
        stage.plain(colour(0.26, 0.01, 0.7), rim=0.1),
        stage.plain(colour(0.8, 0.01, 0.7), is_round=True),
    )
    return Shape(ellipse(x, y, r), rubber, "wheel", (Shape(ellipse(x, y, r * 0.55), metal, "hub"),))


def bus(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Wheels touch the ground at y; x is its middle, s its length in px."""
    base = stage.strong()
    h = s * stage.uniform(0.36, 0.5)
    glass = stage.plain(colour(0.7, 0.05, 0.65), towards=colour(0.45, 0.05, 0.67), rim=0.3)
    n = stage.integer(4, 6)
    panes = tuple(
        Shape(
            box(x - s * 0.46 + i * s * 0.92 / n, y - h * 0.92, s * 0.92 / n * 0.86, h * 0.36, s * 0.012),
            glass,
            "window",
        )
        for i in range(n)
    )
    band = Shape(box(x - s / 2, y - h * 0.45, s, h * 0.1), stage.plain(lighter(base, 0.6), rim=0), "stripe")
    body = Shape(
        box(x - s / 2, y - h, s, h * 0.86, s * 0.04), stage.plain(base, rim=0.25), None, (*panes, band)
    )
    return Thing(
        "bus", (body, *(_wheel(stage, x + f * s, y - s * 0.075, s * 0.075) for f in (-0.3, 0.32))), "ground"
    )


def lamp_post(stage: Stage, x: float, y: float, s: float) -> Thing:
    iron = stage.plain(colour(0.33, 0.02, 0.6))
    way = stage.choice(-1, 1)
    pole = Shape(stroke([(x, y), (x, y - s * 0.92)], s * 0.035, s * 0.022), iron, "pole")
    arm = Shape(
        stroke([(x, y - s * 0.92), (x + way * s * 0.05, y - s), (x + way * s * 0.2, y - s)], s * 0.02), iron
    )
    head = Shape(
        ellipse(x + way * s * 0.2, y - s * 0.985, s * 0.06, s * 0.028),
        stage.plain(colour(0.95, 0.1, 0.26)),
        "lamp",
    )
    return Thing("lamp post", (pole, arm, head))


def traffic_light(stage: Stage, x: float, y: float, s: float) -> Thing:
    pole = Shape(stroke([(x, y), (x, y - s * 0.7)], s * 0.05), stage.plain(colour(0.5, 0.01, 0.6)), "pole")
    lamps = tuple(
        Shape(
            ellipse(x, y - s * f, s * 0.055),
            stage.plain(colour(lightness, 0.18, hue), is_round=True, gloss=0.3),
            "lamp",
        )
        for f, lightness, hue in ((0.92, 0.6, 0.07), (0.8, 0.8, 0.23), (0.68, 0.65, 0.4))
    )
    case = Shape(
        box(x - s * 0.09, y - s, s * 0.18, s * 0.4, s * 0.03),
        stage.plain(colour(0.27, 0.01, 0.6)),
        "case",
        lamps,
    )
    return Thing("traffic light", (pole, case))


def sign(stage: Stage, x: float, y: float, s: float) -> Thing:
    pole = Shape(stroke([(x, y), (x, y - s)], s * 0.04), stage.plain(colour(0.6, 0.01, 0.6)), "pole")
    n, base = stage.choice(3, 4, 8, 30), stage.strong()
    inner = Shape(
        regular(x, y - s, s * 0.14, n),
        stage.plain(colour(0.97, 0, 0), rim=0),
        None,
        (Shape(box(x - s * 0.08, y - s * 1.02, s * 0.16, s * 0.05), stage.plain(base), "bar"),),
    )
    return Thing("sign", (pole, Shape(regular(x, y - s, s * 0.2, n), stage.plain(base), "plate", (inner,))))


def person(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Stands on (x, y), s px high."""
    skin = stage.plain(colour(stage.uniform(0.45, 0.86), 0.06, stage.uniform(0.12, 0.18)), rim=0.2)
    trousers, shirt = stage.plain(darker(stage.strong(), 0.35)), stage.patterned(s * 0.4)
    step = stage.uniform(0.02, 0.13) * s
    legs = tuple(
        Shape(stroke([(x, y - s * 0.46), (x + k * step, y)], s * 0.1, s * 0.075), trousers, "leg")
        for k in (-1, 1)
    )
    torso = Shape(box(x - s * 0.13, y - s * 0.82, s * 0.26, s * 0.4, s * 0.08), shirt, "shirt")
    arms = tuple(
        Shape(
            stroke(
                [
                    (x + k * s * 0.12, y - s * 0.77),
                    (x + k * s * stage.uniform(0.15, 0.24), y - s * stage.uniform(0.42, 0.6)),
                ],
                s * 0.07,
            ),
            shirt.but(base=darker(shirt.base, 0.12)),
            "arm",
        )
        for k in (-1, 1)
    )
    hair = Shape(
        ellipse(x, y - s * 0.945, s * 0.088, s * 0.08),
        stage.plain(colour(stage.uniform(0.2, 0.6), 0.06, 0.16)),
        "hair",
    )
    head = Shape(ellipse(x, y - s * 0.91, s * 0.075, s * 0.085), skin, "head")
    return Thing("person", (*legs, torso, *arms, hair, head), "ground")


def _ground(stage: Stage, kerb: float) -> list[Thing]:
    """The pavement from `kerb` down, and the road with its dashes below it."""
    w, h = stage.width, stage.height
    stone, tar = colour(stage.uniform(0.7, 0.82), 0.01, 0.2), colour(stage.uniform(0.38, 0.5), 0.01, 0.7)
    pavement = Shape(
        box(0, kerb, w, h - kerb), stage.backdrop(stone, stage.choice("brick", "grain"), stage.unit * 4)
    )
    edge = kerb + (h - kerb) * 0.28
    dash = stage.plain(colour(0.93, 0.02, 0.25), rim=0.0)
    middle, length = edge + (h - edge) * 0.5, stage.unit * 10
    dashes = tuple(
        Shape(box(x, middle, length, stage.unit * 1.6), dash, "dash")
        for x in np.arange(-length * stage.uniform(0, 1), w, length * 1.9)
    )
    road = Shape(box(0, edge, w, h - edge), stage.backdrop(tar, "grain", 2.0), None, dashes)
    return [Thing("pavement", (pavement,)), Thing("road", (road,))]


def _skyline(stage: Stage, ground: float, haze: float) -> list[Thing]:
    """Buildings side by side along the whole frame."""
    row, x = [], -stage.unit * stage.uniform(0, 15)
    while x < stage.width:
        w = stage.unit * stage.uniform(16, 34)
        row.append(
            building(stage, x, ground, w, stage.height * stage.uniform(0.25, 0.5) * (1 + 0.3 * haze), haze)
        )
        x += w + stage.unit * stage.choice(0.0, 0.5, 6.0)
    return row


def compose(stage: Stage) -> list[Layer]:
    w, h, u = stage.width, stage.height, stage.unit
    is_night = stage.chance(0.3)
    top, low = (
        (colour(0.28, 0.07, 0.72), colour(0.5, 0.09, 0.85))
        if is_night
        else (colour(0.72, 0.09, 0.67), colour(0.93, 0.03, 0.2))
    )
    far = [Thing("sky", (Shape(box(0, 0, w, h), stage.backdrop(top, "plain", towards=low)),))]
    if is_night:
        far.append(
            Thing(
                "moon",
                (
                    Shape(
                        crescent(w * stage.uniform(0.1, 0.9), h * 0.12, u * 5, 0.6, stage.uniform(-0.6, 0.6)),
                        stage.plain(colour(0.95, 0.06, 0.27)),
                    ),
                ),
            )
        )
    else:
        far += [
            cloud(stage, w * stage.uniform(0, 1), h * stage.uniform(0.05, 0.2), u * stage.uniform(6, 12))
            for _ in range(2)
        ]
    kerb = h * stage.uniform(0.6, 0.7)
    far += _skyline(stage, kerb, 0.55)
    near = _skyline(stage, kerb, 0.0)
    near = [b for b in near if stage.chance(0.75)] + _ground(stage, kerb)
    stretch = [
        stage.uniform(kerb + (h - kerb) * 0.06, kerb + (h - kerb) * 0.26) for _ in range(stage.integer(4, 8))
    ]
    for y in sorted(stretch):
        build, size = stage.choice(
            (person, 22), (person, 22), (lamp_post, 46), (tree, 34), (sign, 22), (traffic_light, 30)
        )
        near.append(build(stage, w * stage.uniform(0.02, 0.98), y, u * size * stage.uniform(0.85, 1.15)))
    for y in sorted(stage.uniform(kerb + (h - kerb) * 0.45, h * 0.99) for _ in range(stage.integer(2, 4))):
        build, size = stage.choice((car, 30), (car, 34), (bus, 52))
        near.append(build(stage, w * stage.uniform(0, 1), y, u * size * stage.uniform(0.85, 1.2)))
    return [Layer(tuple(far), stage.choice(0.8, 1.5)), Layer(tuple(near))]
