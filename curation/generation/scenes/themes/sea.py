"""Under water: fish, jellyfish, starfish, weed, corals, stones and bubbles."""

import numpy as np

from ..outlines import box, curve, ellipse, leaf, polygon, ridge, star, stroke
from ..paint import colour, darker, lighter
from ..stage import Layer, Shape, Stage, Thing
from .meadow import stone


def fish(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Middle at (x, y), s px long; swims left or right."""
    way, fat = stage.choice(-1, 1), stage.uniform(0.22, 0.36)
    base = stage.strong()
    fin = stage.plain(
        darker(base, 0.18), second=lighter(base, 0.25), texture="stripes", scale_px=max(2, s * 0.02), rim=0.2
    )

    def at(fx: float, fy: float) -> tuple[float, float]:
        return x + way * fx * s, y + fy * s

    tail = Shape(polygon([at(-0.28, 0), at(-0.55, -0.2), at(-0.47, 0), at(-0.55, 0.2)]), fin, "tail")
    back = Shape(polygon([at(0.12, -fat * 0.7), at(-0.12, -fat * 1.35), at(-0.22, -fat * 0.4)]), fin, "fin")
    kind = stage.choice("bands", "spots", "plain")
    skin = stage.plain(base, towards=lighter(base, 0.4), gloss=0.12, rim=0.25)
    if kind == "spots":
        skin = skin.but(second=stage.strong(), texture="dots", scale_px=max(3, s * 0.04))
    bands = tuple(
        Shape(
            stroke(curve(at(f, -fat), at(f - 0.06, 0), at(f, fat)), s * 0.07),
            stage.plain(lighter(base, 0.65), rim=0),
            "band",
        )
        for f in (-0.12, 0.1)
        if kind == "bands"
    )
    pupil = Shape(ellipse(*at(0.275, -0.05), s * 0.022), stage.plain(colour(0.15, 0, 0), rim=0))
    eye = Shape(
        ellipse(*at(0.27, -0.05), s * 0.045), stage.plain(colour(0.97, 0.01, 0.2), rim=0.1), "eye", (pupil,)
    )
    mouth = Shape(
        stroke(curve(at(0.4, 0.05), at(0.33, 0.09), at(0.3, 0.06)), max(1, s * 0.012)),
        stage.plain(darker(base, 0.6), rim=0),
    )
    side = Shape(leaf(*at(0.08, 0.04), s * 0.17, s * 0.09, np.pi - way * 0.5 if way > 0 else 0.5), fin, "fin")
    body = Shape(ellipse(x + way * 0.05 * s, y, s * 0.36, s * fat * 0.85), skin, "body", (*bands, eye, mouth))
    return Thing("fish", (tail, back, body, side))


def jellyfish(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Top of the bell at (x, y), s px wide."""
    base = lighter(stage.strong(), 0.3)
    thread = stage.plain(base, opacity=0.85, rim=0)
    arms = tuple(
        Shape(
            stroke(
                curve(
                    (x + s * f, y + s * 0.45),
                    (x + s * (f + stage.uniform(-0.25, 0.25)), y + s * 0.8),
                    (x + s * f * 1.3, y + s * stage.uniform(1.0, 1.5)),
                ),
                s * 0.06,
                s * 0.02,
            ),
            thread,
            "arm",
        )
        for f in np.linspace(-0.36, 0.36, stage.integer(4, 6))
    )
    a = np.linspace(np.pi, 2 * np.pi, 40)
    dome = np.stack([x + s / 2 * np.cos(a), y + s * 0.5 + s * 0.5 * np.sin(a)], axis=1)
    hem = [(x + s * (0.5 - (i + 0.5) / 8), y + s * (0.56 if i % 2 == 0 else 0.5)) for i in range(8)]
    spots = tuple(
        Shape(ellipse(x + s * fx, y + s * fy, s * 0.05), stage.plain(lighter(base, 0.6), rim=0), "spot")
        for fx, fy in ((-0.22, 0.3), (0, 0.2), (0.22, 0.3))
    )
    return Thing(
        "jellyfish",
        (*arms, Shape(polygon([*dome, *hem]), stage.plain(base, opacity=0.93, rim=0.3), "bell", spots)),
    )


def weed(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Several thin blades from (x, y), up to s px high."""
    green = colour(stage.uniform(0.4, 0.65), 0.12, stage.uniform(0.3, 0.45))
    blades = []
    for k in range(stage.integer(3, 6)):
        foot, h = x + s * 0.06 * (k - 2), s * stage.uniform(0.6, 1.0)
        sway = s * stage.uniform(-0.2, 0.2)
        t = np.linspace(0, 1, 14)
        line = np.stack([foot + sway * t + s * 0.05 * np.sin(t * 7 + k), y - h * t], axis=1)
        blades.append(
            Shape(
                stroke(line, s * 0.06, s * 0.012), stage.plain(darker(green, stage.uniform(0, 0.3))), "blade"
            )
        )
    return Thing("weed", tuple(blades))


def coral(stage: Stage, x: float, y: float, s: float) -> Thing:
    """Branches from (x, y), s px high."""
    paint = stage.plain(stage.strong(), rim=0.35)
    branches: list[Shape] = []

    def grow(px: float, py: float, angle: float, length: float, depth: int) -> None:
        ex, ey = px + length * np.cos(angle), py + length * np.sin(angle)
        width = length * 0.34
        branches.append(
            Shape(stroke([(px, py), (ex, ey)], width, width * 0.75) + ellipse(ex, ey, width * 0.37), paint)
        )
        if depth:
            for turn in (-1, 1):
                grow(
                    ex,
                    ey,
                    angle + turn * stage.uniform(0.3, 0.65),
                    length * stage.uniform(0.62, 0.8),
                    depth - 1,
                )

    grow(x, y, -np.pi / 2 + stage.uniform(-0.1, 0.1), s * 0.38, 3)
    return Thing("coral", tuple(branches))


def starfish(stage: Stage, x: float, y: float, s: float) -> Thing:
    base, turn = stage.strong(), stage.uniform(0, 1.2)
    knobs = tuple(
        Shape(
            ellipse(x + s * f * np.cos(a), y + s * f * np.sin(a), s * 0.05),
            stage.plain(lighter(base, 0.5), is_round=True),
            "knob",
        )
        for f in (0.18, 0.42)
        for a in turn - np.pi / 2 + np.arange(5) * 2 * np.pi / 5
    )
    return Thing(
        "starfish",
        (
            Shape(
                star(x, y, s * 0.7, 5, 0.45, turn),
                stage.plain(base, second=darker(base, 0.2), texture="grain", rim=0.35),
                None,
                knobs,
            ),
        ),
        "drop",
    )


def bubble(stage: Stage, x: float, y: float, r: float) -> Thing:
    skin = stage.plain(colour(0.92, 0.03, 0.6), opacity=0.45, rim=0.0, gloss=0.5)
    glint = Shape(
        ellipse(x - r * 0.35, y - r * 0.35, r * 0.18, r * 0.12, -0.7), stage.plain(colour(0.99, 0, 0), rim=0)
    )
    rim = Shape(
        ellipse(x, y, r) + ellipse(x, y, r * 0.88, is_hole=True),
        stage.plain(colour(0.97, 0.02, 0.6), rim=0, opacity=0.8),
    )
    return Thing("bubble", (Shape(ellipse(x, y, r), skin, None, (rim, glint)),))


def wreck(stage: Stage, x: float, y: float, s: float) -> Thing:
    """An old boat on the ground at (x, y), s px long."""
    timber = colour(stage.uniform(0.38, 0.5), 0.06, 0.15)
    planks = stage.plain(
        timber, second=darker(timber, 0.35), texture="stripes", scale_px=max(3, s * 0.025), angle=np.pi / 2
    )
    holes = tuple(
        Shape(
            ellipse(x + s * f, y - s * 0.16, s * 0.035), stage.plain(darker(timber, 0.75), rim=0), "porthole"
        )
        for f in (-0.2, 0.0, 0.2)
    )
    hull = Shape(
        polygon(
            [(x - s * 0.5, y - s * 0.3), (x + s * 0.52, y - s * 0.26), (x + s * 0.38, y), (x - s * 0.34, y)]
        ),
        planks,
        "hull",
        holes,
    )
    mast = Shape(
        stroke([(x - s * 0.02, y - s * 0.25), (x + s * 0.1, y - s * 0.75)], s * 0.035),
        stage.plain(darker(timber, 0.2)),
        "mast",
    )
    return Thing("wreck", (mast, hull), "ground")


def group_of_bubbles(stage: Stage) -> list[Thing]:
    x, y = stage.width * stage.uniform(0.1, 0.9), stage.height * stage.uniform(0.4, 0.8)
    n = stage.integer(3, 8)
    return [
        bubble(
            stage,
            x + stage.unit * stage.uniform(-4, 4),
            y - i * stage.unit * stage.uniform(4, 8),
            stage.unit * stage.uniform(0.9, 3.2),
        )
        for i in range(n)
    ]


def compose(stage: Stage) -> list[Layer]:
    w, h, u = stage.width, stage.height, stage.unit
    hue = stage.uniform(0.52, 0.68)
    water = stage.backdrop(
        colour(0.82, 0.08, hue),
        "cloudy",
        18 * u,
        second=colour(0.74, 0.09, hue),
        towards=colour(0.42, 0.09, hue + 0.02),
    )
    sand = colour(stage.uniform(0.72, 0.85), 0.06, stage.uniform(0.2, 0.25))
    ground_y = h * stage.uniform(0.72, 0.84)
    far = Layer((Thing("water", (Shape(box(0, 0, w, h), water),)),))
    bed = Shape(
        ridge(stage.rng, w, h, ground_y, h * 0.025, 1.3),
        stage.backdrop(sand, "grain", 2.0, second=darker(sand, 0.2)),
    )
    things = [Thing("sand", (bed,))]
    for y in sorted(stage.uniform(ground_y + h * 0.02, h) for _ in range(stage.integer(6, 11))):
        build, size = stage.choice(
            (weed, 34),
            (weed, 30),
            (coral, 26),
            (coral, 26),
            (stone, 20),
            (starfish, 9),
            (starfish, 9),
            (wreck, 46),
        )
        things.append(build(stage, w * stage.uniform(0, 1), y, u * size * stage.uniform(0.7, 1.2)))
    for _ in range(stage.integer(5, 11)):
        build, size = stage.choice((fish, 22), (fish, 22), (fish, 12), (jellyfish, 16))
        things.append(
            build(
                stage,
                w * stage.uniform(0.04, 0.96),
                h * stage.uniform(0.08, 0.72),
                u * size * stage.uniform(0.6, 1.4),
            )
        )
    for _ in range(stage.integer(1, 3)):
        things += group_of_bubbles(stage)
    return [far, Layer(tuple(things))]
