"""Hills under a sky, with houses, trees, sheep, balloons and flowers."""

import numpy as np

from ..outlines import blob, box, curve, ellipse, leaf, polygon, puff, ridge, stroke
from ..paint import colour, darker, lighter, mix
from ..stage import Layer, Shape, Stage, Thing, group


def sky(stage: Stage) -> Thing:
    hue, evening = stage.uniform(0.63, 0.72), stage.uniform(0.05, 0.2)
    top = colour(stage.uniform(0.6, 0.78), 0.1, hue)
    bottom = stage.choice(colour(0.93, 0.03, hue), colour(0.9, 0.07, evening))
    paint = stage.backdrop(top, "plain", towards=bottom)
    return Thing("sky", (Shape(box(0, 0, stage.width, stage.height), paint),))


def sun(stage: Stage, x: float, y: float, r: float) -> Thing:
    paint = stage.plain(colour(0.92, 0.13, 0.25), rim=0.05)
    return Thing("sun", (Shape(ellipse(x, y, r), paint),))


def cloud(stage: Stage, x: float, y: float, s: float) -> Thing:
    white = colour(0.97, 0.01, 0.65)
    paint = stage.plain(
        white,
        second=darker(white, 0.1),
        texture="cloudy",
        scale_px=s / 3,
        rim=0.12,
        towards=darker(white, 0.12),
    )
    return Thing("cloud", (Shape(puff(stage.rng, x, y, s, s * stage.uniform(0.35, 0.5), 8), paint),))


def hill(stage: Stage, y: float, swing: float, share: float) -> Thing:
    """`share` 0 is the nearest, 1 the farthest and haziest."""
    green = colour(stage.uniform(0.5, 0.68), 0.12, stage.uniform(0.3, 0.4))
    base = mix(green, colour(0.86, 0.04, 0.65), 0.7 * share)
    paint = stage.backdrop(
        base, stage.choice("cloudy", "grain"), second=darker(base, 0.12), towards=darker(base, 0.18)
    )
    return Thing(
        "hill",
        (Shape(ridge(stage.rng, stage.width, stage.height, y, swing, stage.uniform(0.6, 1.8)), paint),),
    )


def house(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Stands on (x, y), s px wide."""
    h, roof_h = s * stage.uniform(0.55, 0.9), s * stage.uniform(0.35, 0.6)
    wall, roof = lighter(stage.strong(), 0.45), darker(stage.strong(), 0.15)
    left, top = x - s / 2, y - h
    walls = stage.plain(
        wall,
        second=darker(wall, 0.18),
        texture=stage.choice("brick", "plain", "grain"),
        scale_px=max(4, s * 0.06),
    )
    tiles = stage.plain(
        roof,
        second=darker(roof, 0.25),
        texture=stage.choice("brick", "stripes", "plain"),
        scale_px=max(3, s * 0.05),
    )
    gable = polygon([(left - s * 0.1, top), (x, top - roof_h), (left + s * 1.1, top)])
    windows = [_window(stage, left + s * f, top + h * 0.2, s * 0.2, h * 0.3) for f in (0.12, 0.68)]
    door_h = h * stage.uniform(0.45, 0.6)
    knob = Shape(ellipse(x + s * 0.055, y - door_h * 0.45, s * 0.016), stage.plain(colour(0.85, 0.1, 0.25)))
    door = Shape(
        box(x - s * 0.1, y - door_h, s * 0.2, door_h, s * 0.03),
        stage.plain(darker(roof, 0.3)),
        "door",
        (knob,),
    )
    chimney = Shape(
        box(x + s * 0.2, top - roof_h * 0.9, s * 0.12, roof_h * 0.8),
        stage.plain(darker(wall, 0.3)),
        "chimney",
    )
    front = Shape(box(left, top, s, h), walls)
    return Thing("house", (chimney, front, Shape(gable, tiles, "roof"), door, *windows), "ground")


def _window(stage: Stage, x: float, y: float, w: float, h: float) -> Shape:
    glass = stage.plain(stage.choice(colour(0.55, 0.06, 0.65), colour(0.88, 0.12, 0.25)), rim=0.5)
    bar = stage.plain(colour(0.95, 0.01, 0.2), rim=0.0)
    thick = max(1.0, w * 0.08)
    cross = (
        Shape(box(x + w / 2 - thick / 2, y, thick, h), bar),
        Shape(box(x, y + h / 2 - thick / 2, w, thick), bar),
    )
    return Shape(
        box(x - thick, y - thick, w + 2 * thick, h + 2 * thick),
        bar,
        "window",
        (Shape(box(x, y, w, h), glass, None, cross),),
    )


def tree(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Stands on (x, y), s px high."""
    bark = colour(0.42, 0.06, stage.uniform(0.1, 0.2))
    trunk_paint = stage.plain(
        bark, second=darker(bark), texture="wood", scale_px=max(3, s * 0.03), angle=np.pi / 2
    )
    trunk = Shape(stroke([(x, y), (x, y - s * 0.5)], s * 0.12, s * 0.07), trunk_paint, "trunk")
    green = colour(
        stage.uniform(0.42, 0.62), 0.13, stage.choice(stage.uniform(0.3, 0.42), stage.uniform(0.08, 0.2))
    )
    leaves = stage.plain(
        green, second=darker(green, 0.35), texture="cloudy", scale_px=max(3, s * 0.07), rim=0.35
    )
    if stage.chance(0.4):
        tiers = tuple(
            Shape(polygon([(x - s * w, y - s * b), (x, y - s * t), (x + s * w, y - s * b)]), leaves)
            for w, b, t in ((0.3, 0.2, 0.62), (0.25, 0.42, 0.82), (0.18, 0.64, 1.0))
        )
        return Thing("fir", (trunk, group("crown", *tiers)), "ground")
    crown = puff(stage.rng, x, y - s * 0.68, s * 0.34, s * 0.34, 7)
    fruit = stage.plain(colour(0.58, 0.2, 0.08), is_round=True, gloss=0.3)
    spots = [(stage.uniform(-0.22, 0.22), stage.uniform(0.5, 0.86)) for _ in range(stage.choice(0, 0, 5, 8))]
    fruits = tuple(Shape(ellipse(x + s * fx, y - s * fy, s * 0.03), fruit, "fruit") for fx, fy in spots)
    return Thing("tree", (trunk, Shape(crown, leaves, "crown", fruits)), "ground")


def hot_air_balloon(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Middle of the envelope at (x, y), s px wide."""
    r = s / 2
    base = stage.plain(is_round=True, gloss=0.15)
    gores = tuple(
        Shape(ellipse(x, y, r * w, r * 1.15), stage.plain(is_round=True, gloss=0.1, rim=0.1))
        for w in (0.72, 0.3)
    )
    neck = polygon(
        [
            (x - r * 0.78, y + r * 0.62),
            (x + r * 0.78, y + r * 0.62),
            (x + r * 0.2, y + r * 1.5),
            (x - r * 0.2, y + r * 1.5),
        ]
    )
    envelope = group(
        "envelope",
        Shape(neck, stage.plain(darker(base.base, 0.1))),
        Shape(ellipse(x, y, r, r * 1.15), base, None, gores),
    )
    rope = stage.plain(colour(0.35, 0.02, 0.1), rim=0.0)
    ropes = tuple(
        Shape(
            stroke([(x + k * r * 0.18, y + r * 1.45), (x + k * r * 0.16, y + r * 1.85)], max(1.0, s * 0.012)),
            rope,
        )
        for k in (-1, 1)
    )
    wicker = stage.plain(
        colour(0.5, 0.08, 0.17), second=colour(0.35, 0.07, 0.15), texture="checker", scale_px=max(2, s * 0.03)
    )
    basket = Shape(box(x - r * 0.22, y + r * 1.82, r * 0.44, r * 0.36, r * 0.06), wicker, "basket")
    return Thing("balloon", (envelope, *ropes, basket))


def sheep(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Stands on (x, y), s px long; looks left or right."""
    way = stage.choice(-1, 1)
    dark = stage.plain(colour(0.3, 0.02, 0.15))
    wool_colour = colour(stage.uniform(0.8, 0.96), 0.02, 0.25)
    wool = stage.plain(
        wool_colour, second=darker(wool_colour, 0.15), texture="cloudy", scale_px=max(2.5, s * 0.06), rim=0.35
    )
    legs = tuple(
        Shape(box(x + s * k - s * 0.03, y - s * 0.28, s * 0.06, s * 0.28), dark, "leg")
        for k in (-0.22, -0.1, 0.1, 0.22)
    )
    body = Shape(puff(stage.rng, x, y - s * 0.42, s * 0.42, s * 0.28, 9), wool, "body")
    hx, hy = x + way * s * 0.44, y - s * 0.55
    eye = Shape(ellipse(hx + way * s * 0.03, hy - s * 0.03, s * 0.018), stage.plain(colour(0.97, 0, 0)))
    head = Shape(ellipse(hx, hy, s * 0.11, s * 0.15, way * 0.4), dark, "head", (eye,))
    return Thing("sheep", (*legs, body, head), "ground")


def flower(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Grows from (x, y), s px high."""
    green = stage.plain(colour(0.5, 0.13, 0.36))
    tip = (x + stage.uniform(-0.15, 0.15) * s, y - s * 0.78)
    stem = Shape(stroke(curve((x, y), (x, y - s * 0.4), tip), max(1.2, s * 0.045)), green, "stem")
    blades = tuple(
        Shape(leaf(x, y - s * 0.15, s * 0.34, s * 0.12, a), green, "leaf") for a in (-0.6, np.pi + 0.6)
    )
    r, n = s * 0.24, stage.integer(5, 9)
    petal = stage.plain(lighter(stage.strong(), 0.15), rim=0.35)
    petals = tuple(
        Shape(leaf(*tip, r, r * stage.uniform(0.42, 0.6), k * 2 * np.pi / n), petal, "petal")
        for k in range(n)
    )
    heart = Shape(ellipse(*tip, r * 0.32), stage.plain(colour(0.82, 0.15, 0.22), is_round=True), "centre")
    return Thing("flower", (stem, *blades, group("head", *petals, heart)))


def bird(stage: Stage, x: float, y: float, s: float) -> Thing:
    paint = stage.plain(colour(0.28, 0.03, 0.7), rim=0.0)
    line = np.concatenate(
        [
            curve((x - s, y), (x - s * 0.5, y - s * 0.7), (x, y), 8),
            curve((x, y), (x + s * 0.5, y - s * 0.7), (x + s, y), 8),
        ]
    )
    return Thing("bird", (Shape(stroke(line, max(1.2, s * 0.16)), paint),))


def fence(stage: Stage, x: float, y: float, s: float) -> Thing:
    """From (x, y) to the right, s px high."""
    base = stage.choice(colour(0.93, 0.01, 0.2), colour(0.5, 0.07, 0.15))
    paint = stage.plain(base, rim=0.3)
    n, gap = stage.integer(4, 9), s * 0.42
    rails = tuple(
        Shape(box(x, y - s * f, gap * (n - 1) + s * 0.16, s * 0.1), paint, "rail") for f in (0.75, 0.35)
    )
    posts = tuple(
        Shape(
            polygon(
                [
                    (x + i * gap, y),
                    (x + i * gap, y - s * 0.9),
                    (x + i * gap + s * 0.08, y - s),
                    (x + i * gap + s * 0.16, y - s * 0.9),
                    (x + i * gap + s * 0.16, y),
                ]
            ),
            paint,
            "post",
        )
        for i in range(n)
    )
    return Thing("fence", (*rails, *posts), "ground")


def kite(stage: Stage, x: float, y: float, s: float) -> Thing:
    corners = [(x, y - s), (x + s * 0.6, y), (x, y + s * 1.2), (x - s * 0.6, y)]
    quarters = tuple(
        Shape(polygon([corners[i], corners[(i + 1) % 4], (x, y)]), stage.plain(), "panel") for i in range(4)
    )
    tail_end = (x + s * stage.uniform(-1.5, 1.5), y + s * 3.2)
    tail = Shape(
        stroke(curve((x, y + s * 1.2), (x + s, y + s * 2), tail_end), max(1.0, s * 0.05)),
        stage.plain(),
        "tail",
    )
    return Thing("kite", (tail, Shape(polygon(corners), stage.plain(), None, quarters)))


def stone(stage: Stage, x: float, y: float, s: float) -> Thing:
    grey = colour(stage.uniform(0.45, 0.7), 0.015, stage.uniform(0, 1))
    paint = stage.plain(grey, second=darker(grey), texture="grain", is_round=True)
    return Thing("stone", (Shape(blob(stage.rng, x, y - s * 0.3, s * 0.5, s * 0.36), paint),), "ground")


def compose(stage: Stage) -> list[Layer]:
    w, h, u = stage.width, stage.height, stage.unit
    horizon = h * stage.uniform(0.38, 0.55)
    far = [sky(stage)]
    if stage.chance(0.6):
        far.append(
            sun(stage, w * stage.uniform(0.1, 0.9), h * stage.uniform(0.08, 0.28), u * stage.uniform(4, 8))
        )
    far += [
        cloud(stage, w * stage.uniform(0, 1), h * stage.uniform(0.05, 0.3), u * stage.uniform(6, 15))
        for _ in range(stage.integer(1, 4))
    ]
    n_hills = stage.integer(2, 4)
    far += [hill(stage, horizon + i * h * 0.07, h * 0.05, 1 - i / n_hills) for i in range(n_hills)]
    sky_things = [
        stage.choice(hot_air_balloon, kite)(
            stage, w * stage.uniform(0.1, 0.9), h * stage.uniform(0.12, 0.3), u * stage.uniform(4, 16)
        )
        for _ in range(stage.integer(0, 3))
    ]
    sky_things += [
        bird(stage, w * stage.uniform(0.05, 0.95), h * stage.uniform(0.05, 0.35), u * stage.uniform(1.0, 3))
        for _ in range(stage.integer(0, 5))
    ]
    bases = sorted(stage.uniform(horizon + h * 0.1, h * 1.02) for _ in range(stage.integer(8, 16)))
    ground = [_on_ground(stage, w * stage.uniform(0, 1), y, (y - horizon) / (h - horizon)) for y in bases]
    return [Layer(tuple(far), stage.choice(0.0, 0.8, 1.6)), Layer(tuple(sky_things + ground))]


def _on_ground(stage: Stage, x: float, y: float, nearness: float) -> Thing:
    """A thing whose size grows as it comes nearer, 0..1."""
    build, size = stage.choice(
        (house, 26), (tree, 34), (tree, 30), (sheep, 16), (fence, 12), (flower, 16), (flower, 16), (stone, 9)
    )
    return build(stage, x, y, stage.unit * size * (0.35 + nearness) * stage.uniform(0.75, 1.2))
