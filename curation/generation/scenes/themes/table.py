"""Things on a table before a wall: cups, fruit, books, bottles, pencils, plants."""

import numpy as np

from ..outlines import blob, box, curve, ellipse, leaf, polygon, ring, stroke
from ..paint import colour, darker, lighter
from ..stage import Layer, Shape, Stage, Thing, group


def mug(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Stands on (x, y), s px high."""
    w, way = s * 0.8, stage.choice(-1, 1)
    paint = stage.patterned(s, gloss=0.15, angle=stage.choice(0.0, np.pi / 2, np.pi / 4))
    rim_paint = stage.plain(darker(paint.base, 0.45), rim=0.0)
    handle = Shape(
        ring(x + way * w * 0.5, y - s * 0.5, s * 0.24, s * 0.15, 1.15),
        stage.plain(paint.base, rim=0.4),
        "handle",
    )
    body = Shape(box(x - w / 2, y - s, w, s, s * 0.1), paint, "body")
    mouth = Shape(
        ellipse(x, y - s, w / 2, s * 0.1),
        stage.plain(lighter(paint.base, 0.25), rim=0),
        None,
        (Shape(ellipse(x, y - s * 0.985, w * 0.43, s * 0.075), rim_paint, "drink"),),
    )
    return Thing("mug", (handle, body, mouth), "ground")


def fruit(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Stands on (x, y), s px wide."""
    hue, lightness = stage.choice((0.07, 0.55), (0.16, 0.75), (0.25, 0.85), (0.34, 0.7), (0.9, 0.45))
    base = colour(lightness, 0.17, hue + stage.uniform(-0.02, 0.02))
    skin = stage.plain(
        base,
        second=darker(base, 0.2),
        texture=stage.choice("plain", "grain", "cloudy"),
        scale_px=s / 6,
        is_round=True,
        gloss=0.35,
    )
    body = Shape(blob(stage.rng, x, y - s * 0.45, s * 0.5, s * 0.46, 0.06), skin, "flesh")
    stem = Shape(
        stroke(curve((x, y - s * 0.86), (x, y - s), (x + s * 0.08, y - s * 1.1)), s * 0.05),
        stage.plain(colour(0.4, 0.06, 0.15)),
        "stem",
    )
    foliage = (
        (
            Shape(
                leaf(x, y - s * 0.98, s * 0.4, s * 0.16, stage.uniform(-0.6, 0.2)),
                stage.plain(colour(0.55, 0.14, 0.36)),
                "leaf",
            ),
        )
        if stage.chance(0.6)
        else ()
    )
    return Thing("fruit", (body, stem, *foliage), "ground")


def bottle(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Stands on (x, y), s px high."""
    w = s * stage.uniform(0.26, 0.36)
    glass = stage.plain(
        colour(stage.uniform(0.4, 0.7), 0.1, stage.choice(0.38, 0.2, 0.62)), opacity=0.92, rim=0.45, gloss=0.2
    )
    neck = [
        (x - w * 0.18, y - s * 0.92),
        (x + w * 0.18, y - s * 0.92),
        (x + w * 0.2, y - s * 0.72),
        (x + w * 0.5, y - s * 0.56),
        (x - w * 0.5, y - s * 0.56),
        (x - w * 0.2, y - s * 0.72),
    ]
    label_paint = stage.plain(colour(0.95, 0.02, 0.25), rim=0.1)
    mark = Shape(ellipse(x, y - s * 0.29, w * 0.24), stage.plain(), "emblem")
    label = Shape(box(x - w / 2, y - s * 0.42, w, s * 0.26), label_paint, "label", (mark,))
    body = group(
        "glass",
        Shape(polygon(neck), glass),
        Shape(box(x - w / 2, y - s * 0.6, w, s * 0.6, w * 0.14), glass, None, (label,)),
    )
    cap = Shape(box(x - w * 0.21, y - s, w * 0.42, s * 0.1, w * 0.05), stage.plain(), "cap")
    return Thing("bottle", (body, cap), "ground")


def books(stage: Stage, x: float, y: float, s: float) -> list[Thing]:
    """A pile of books, each a whole of its own, s px wide; the lowest lies on (x, y)."""
    pile = []
    for _ in range(stage.integer(2, 5)):
        w, h = s * stage.uniform(0.75, 1.0), s * stage.uniform(0.1, 0.18)
        left = x - w / 2 + s * stage.uniform(-0.08, 0.08)
        cover = stage.patterned(s, rim=0.2) if stage.chance(0.3) else stage.plain(rim=0.2)
        pages = Shape(
            box(left + w * 0.04, y - h * 0.86, w * 0.97, h * 0.72),
            stage.plain(
                colour(0.94, 0.03, 0.24),
                second=colour(0.8, 0.03, 0.24),
                texture="stripes",
                scale_px=1.6,
                angle=np.pi / 2,
                rim=0,
            ),
            "pages",
        )
        band = Shape(
            box(left + w * 0.14, y - h, w * 0.06, h), stage.plain(lighter(cover.base, 0.5), rim=0), "band"
        )
        spine = Shape(box(left, y - h, w * 0.3, h, h * 0.2), cover)
        pile.append(
            Thing(
                "book",
                (Shape(box(left, y - h, w, h, h * 0.1), cover, None, (pages,)), spine, band),
                "ground" if not pile else "none",
            )
        )
        y -= h
    return pile


def vase(stage: Stage, x: float, y: float, s: float) -> list[Thing]:
    """A vase with flowers, s px high in all; flowers first, since the vase hides their stems."""
    h, w = s * 0.48, s * stage.uniform(0.24, 0.34)
    flowers = []
    for k in np.linspace(-1, 1, stage.integer(2, 5)):
        tip = (x + k * s * 0.24 + s * stage.uniform(-0.04, 0.04), y - s * stage.uniform(0.78, 1.0))
        stem = Shape(
            stroke(
                curve((x + k * w * 0.12, y - h * 0.6), (x + k * w * 0.2, y - h * 1.2), tip),
                max(1.2, s * 0.014),
            ),
            stage.plain(colour(0.5, 0.12, 0.36)),
            "stem",
        )
        n, r, petal = (
            stage.integer(5, 8),
            s * stage.uniform(0.08, 0.12),
            stage.plain(lighter(stage.strong(), 0.2), rim=0.35),
        )
        petals = tuple(Shape(leaf(*tip, r, r * 0.6, i * 2 * np.pi / n), petal, "petal") for i in range(n))
        centre = Shape(ellipse(*tip, r * 0.3), stage.plain(colour(0.8, 0.15, 0.23)), "centre")
        flowers.append(Thing("flower", (stem, group("head", *petals, centre))))
    paint = stage.patterned(s * 0.5, gloss=0.25)
    side = curve((x - w * 0.28, y - h), (x - w * 1.3, y - h * 0.35), (x - w * 0.3, y))
    outline = polygon(np.concatenate([side, np.stack([2 * x - side[::-1, 0], side[::-1, 1]], axis=1)]))
    return [*flowers, Thing("vase", (Shape(outline, paint),), "ground")]


def pencil(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Lies about (x, y), s px long: a thin thing in three parts."""
    angle, thick = stage.uniform(-0.5, 0.5), s * 0.055
    along = np.array([np.cos(angle), np.sin(angle)]) * s / 2
    middle = np.array([x, y])

    def band(start: float, stop: float, paint, name: str, end_width=None) -> Shape:
        return Shape(stroke([middle + along * start, middle + along * stop], thick, end_width), paint, name)

    wood = stage.plain(colour(0.85, 0.06, 0.2), rim=0.1)
    return Thing(
        "pencil",
        (
            band(0.72, 1.0, wood, "tip", thick * 0.15),
            band(-0.86, 0.74, stage.plain(rim=0.2), "shaft"),
            band(-1, -0.85, stage.plain(colour(0.75, 0.1, 0.02)), "rubber"),
        ),
        "drop",
    )


def plate(stage: Stage, x: float, y: float, s: float) -> list[Thing]:
    """A plate seen from the side with food on it, s px wide."""
    china = colour(0.96, 0.01, 0.3)
    well = Shape(
        ellipse(x, y - s * 0.11, s * 0.34, s * 0.07), stage.plain(darker(china, 0.1), rim=0.1), "well"
    )
    edge = Shape(ring(x, y - s * 0.11, s * 0.46, s * 0.43, 0.24), stage.plain(rim=0), "edge")
    dish = Thing(
        "plate",
        (
            Shape(
                ellipse(x, y - s * 0.11, s * 0.5, s * 0.12), stage.plain(china, rim=0.15), None, (well, edge)
            ),
        ),
        "ground",
    )
    return [
        dish,
        *(
            fruit(stage, x + k * s * 0.2, y - s * 0.07, s * stage.uniform(0.2, 0.3))
            for k in (-1, 1, 0)
            if stage.chance(0.7)
        ),
    ]


def picture(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Hangs about (x, y), s px wide."""
    h = s * stage.uniform(0.7, 1.2)
    shapes = tuple(
        Shape(
            blob(
                stage.rng,
                x + s * stage.uniform(-0.3, 0.3),
                y + h * stage.uniform(-0.3, 0.3),
                s * stage.uniform(0.08, 0.22),
            ),
            stage.patterned(s * 0.3),
            "figure",
        )
        for _ in range(stage.integer(1, 4))
    )
    canvas = Shape(
        box(x - s * 0.42, y - h / 2 + s * 0.08, s * 0.84, h - s * 0.16),
        stage.plain(stage.calm(0.9), rim=0.2),
        "canvas",
        shapes,
    )
    wood = stage.plain(
        second=colour(0.3, 0.05, 0.15), texture=stage.choice("plain", "wood"), scale_px=s * 0.05
    )
    return Thing("picture", (Shape(box(x - s / 2, y - h / 2, s, h), wood, None, (canvas,)),), "drop")


def clock(stage: Stage, x: float, y: float, s: float) -> Thing:
    r, dark = s / 2, stage.plain(colour(0.25, 0.02, 0.6), rim=0)
    marks = tuple(
        Shape(ellipse(x + r * 0.68 * np.cos(a), y + r * 0.68 * np.sin(a), r * 0.05), dark)
        for a in np.arange(12) * np.pi / 6
    )
    hands = tuple(
        Shape(stroke([(x, y), (x + r * n * np.cos(a), y + r * n * np.sin(a))], r * 0.07), dark, "hand")
        for n, a in ((0.4, stage.uniform(0, 6.28)), (0.62, stage.uniform(0, 6.28)))
    )
    face = Shape(
        ellipse(x, y, r * 0.82), stage.plain(colour(0.96, 0.01, 0.25), rim=0.15), "face", (*marks, *hands)
    )
    return Thing("clock", (Shape(ellipse(x, y, r), stage.plain(rim=0.4), None, (face,)),), "drop")


def compose(stage: Stage) -> list[Layer]:
    w, h, u = stage.width, stage.height, stage.unit
    wall_colour, edge = stage.calm(stage.uniform(0.75, 0.9)), h * stage.uniform(0.45, 0.62)
    wall_texture, scale = stage.choice(
        ("plain", 8.0), ("cloudy", 12 * u), ("stripes", 5 * u), ("dots", 3.5 * u), ("brick", 5 * u)
    )
    wall = Thing(
        "wall",
        (
            Shape(
                box(0, 0, w, h),
                stage.backdrop(wall_colour, wall_texture, scale, second=darker(wall_colour, 0.1)),
            ),
        ),
    )
    timber = colour(stage.uniform(0.5, 0.78), 0.07, stage.uniform(0.12, 0.19))
    table = Thing(
        "table",
        (
            Shape(
                box(0, edge, w, h - edge),
                stage.backdrop(
                    timber, "wood", u * 3, second=darker(timber, 0.22), towards=lighter(timber, 0.1)
                ),
            ),
        ),
    )
    hanging = [
        stage.choice(picture, picture, clock)(
            stage, w * f, h * stage.uniform(0.14, 0.3), u * stage.uniform(18, 32)
        )
        for f in (0.17, 0.5, 0.83)
        if stage.chance(0.55)
    ]
    things: list[Thing] = []
    for y in sorted(stage.uniform(edge + h * 0.03, h * 0.97) for _ in range(stage.integer(6, 11))):
        build, size = stage.choice(
            (mug, 20),
            (fruit, 15),
            (fruit, 15),
            (bottle, 40),
            (books, 36),
            (vase, 46),
            (pencil, 30),
            (plate, 42),
        )
        nearness = 0.75 + 0.6 * (y - edge) / (h - edge)
        made = build(stage, w * stage.uniform(0.04, 0.96), y, u * size * nearness * stage.uniform(0.85, 1.15))
        things += made if isinstance(made, list) else [made]
    return [Layer((wall, *hanging, table), stage.choice(0.0, 0.8, 1.6)), Layer(tuple(things))]
