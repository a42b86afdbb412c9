"""What a sample's masks stand for, once some of them have an answer.

What has no answer is taken as missing at random among masks of its stratum (its image with two stages) and
size: small masks are judged last, so an unfinished sample has few of them.

Source: response groups, Särndal, Swensson and Wretman, Model Assisted Survey Sampling (1992), 15.6.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from curation.errors import InputError


@dataclass(frozen=True)
class Drawn:
    """A sample as it was drawn, n masks: columns of the table `samples` by name, (n,) each, and `is_small`
    (n,).
    """

    design: str
    columns: Mapping[str, np.ndarray]
    is_small: np.ndarray


@dataclass(frozen=True)
class Answers:
    """The n masks of a sample that have an answer, and what the design says of them.

    `place` (n,) in the sample; `weight` (n,): masks of the frame that each stands for; `unit` (n,) 0..U−1:
    the mask itself or its image; `image` (n,) 0..I−1. Of units: `draws` (U,), `stratum` (U,) 0..H−1,
    `inner_fraction` (U,): part of the unit's masks that have an answer, 1 where it has but one. `fraction`
    (H,): part of the stratum's units that have an answer, 0 with replacement. `covered_share`: part of the
    frame that they speak for, 0..1: less where no small mask has an answer yet.
    """

    place: np.ndarray
    weight: np.ndarray
    unit: np.ndarray
    image: np.ndarray
    draws: np.ndarray
    stratum: np.ndarray
    inner_fraction: np.ndarray
    fraction: np.ndarray
    n_frame: int
    covered_share: float


def answers(drawn: Drawn, has_answer: np.ndarray) -> Answers:
    """The masks with an answer (n,) and their weights.

    Raises InputError for a sample that was drawn on purpose: nothing says what its masks stand for.
    """
    if drawn.design == "purposive":
        raise InputError(
            "this sample was drawn on purpose, so no rate follows from it: its masks stand for no others. Draw one with "
            "--design srs, stratified, pps or two-stage"
        )
    columns = drawn.columns
    _, stratum = np.unique(columns["stratum"], return_inverse=True)
    _, image = np.unique(columns["image_id"], return_inverse=True)
    group = image if drawn.design == "two_stage" else stratum
    weight = _weights(drawn, group, has_answer)
    place = np.flatnonzero(weight > 0)
    n_frame = int(_first(columns["stratum_n_masks"], stratum).sum())
    drawn_weight = _drawn_weights(drawn)
    is_covered = np.isin(drawn.is_small, drawn.is_small[place])
    shape = _units(drawn, place, stratum, image)
    return Answers(
        place=place,
        weight=weight[place],
        image=np.unique(image[place], return_inverse=True)[1],
        n_frame=n_frame,
        covered_share=float(drawn_weight[is_covered].sum() / drawn_weight.sum()),
        **shape,
    )


def _drawn_weights(drawn: Drawn) -> np.ndarray:
    """Masks of the frame that each drawn mask stands for, before anyone answers (n,)."""
    columns = drawn.columns
    if drawn.design == "pps":
        return columns["n_draws"] / (columns["n_draws"].sum() * columns["draw_probability"])
    return 1 / columns["inclusion_probability"]


def _weights(drawn: Drawn, group: np.ndarray, has_answer: np.ndarray) -> np.ndarray:
    """Weights of all drawn masks (n,), 0 without an answer: those that have one stand for those of their cell
    that have none.

    A cell is the masks of one size class (small or not) of a group. Cells without any answer are stood for by
    the others of their class; a class without any is left out.
    """
    drawn_weight, n_draws = _drawn_weights(drawn), drawn.columns["n_draws"]
    cell = group * 2 + drawn.is_small
    n_cells = int(cell.max(initial=0)) + 1
    asked = np.bincount(cell, n_draws, n_cells)
    answered = np.bincount(cell, n_draws * has_answer, n_cells)
    mass = np.bincount(cell, drawn_weight, n_cells)
    is_small = np.arange(n_cells) % 2
    whole = np.bincount(is_small, mass, 2)
    held = np.bincount(is_small, mass * (answered > 0), 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(answered > 0, asked / answered * (whole / held)[is_small], 0)
    return np.where(has_answer, drawn_weight * factor[cell], 0)


def _units(drawn: Drawn, place: np.ndarray, stratum: np.ndarray, image: np.ndarray) -> dict[str, np.ndarray]:
    """What the first stage drew, of the masks with an answer: unit, draws, stratum, inner_fraction, fraction."""
    columns = drawn.columns
    if drawn.design == "two_stage":
        _, first, unit, n_inside = np.unique(
            image[place], return_index=True, return_inverse=True, return_counts=True
        )
        n_images = columns["stratum_n_images"][0] if len(place) else 1
        return {
            "unit": unit,
            "draws": np.ones(len(first)),
            "stratum": np.zeros(len(first), np.int64),
            "inner_fraction": n_inside / columns["image_n_masks"][place[first]],
            "fraction": np.array([len(first) / n_images]),
        }
    draws = columns["n_draws"][place].astype(np.float64)
    _, of_unit = np.unique(stratum[place], return_inverse=True)
    n_masks = _first(columns["stratum_n_masks"][place], of_unit)
    is_again = drawn.design == "pps"
    return {
        "unit": np.arange(len(place)),
        "draws": draws,
        "stratum": of_unit,
        "inner_fraction": np.ones(len(place)),
        "fraction": np.zeros(len(n_masks)) if is_again else np.bincount(of_unit) / n_masks,
    }


def _first(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """One value of each group 0..G−1, (G,), where all of a group are equal."""
    return values[np.unique(group, return_index=True)[1]]
