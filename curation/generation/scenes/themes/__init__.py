"""Kinds of scenes. A theme fills a stage with layers, farthest first; the first layer covers the whole frame."""

from collections.abc import Callable

from ..stage import Layer, Stage
from . import meadow, party, sea, shapes, space, street, table

#: In this order; adding a theme, or changing one, changes what a seed draws.
THEMES: dict[str, Callable[[Stage], list[Layer]]] = {
    "meadow": meadow.compose,
    "street": street.compose,
    "table": table.compose,
    "sea": sea.compose,
    "space": space.compose,
    "party": party.compose,
    "shapes": shapes.compose,
}
