"""Which of the searched masks are known to be good or bad, and how many masks each of them stands for.

Labels enter a rate only where their design is known: all masks of images with gold, and masks of drawn samples. What was
judged on purpose stands for no other mask and is left out. A mask that several designs could have reached is shared out
among them by their sampling fractions (Kalton and Anderson, JRSS A 149, 1986), so that more verdicts on a cluster make
it better known and not larger.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from curation.errors import InputError
from curation.lake import Lake
from curation.sampling import frame, judged
from curation.sampling.frame import Frame, Scope
from curation.sampling.response import answers

SOURCES = ("all", "gold", "verdicts", "verifier")
#: Words of an expression whose value depends on what people were asked.
_OF_VERDICTS = re.compile(
    r"\b(verdict\w*|settled_verdicts|n_raters|is_bad|label_source|drawn_by)\b", re.IGNORECASE
)
#: A verifier's opinion that a mask is bad.
VERIFIER_BAD = 0.5
#: What the frame must tell for `read`, as SQL. Gold speaks of all masks of its images, also those with a verdict.
GOLD_SQL = "CASE WHEN label_source = 'gold' THEN is_bad ELSE error_kind <> 'none' END"


@dataclass(frozen=True)
class Labels:
    """Of N masks: `is_bad` 1, 0, or NaN where not known or of no design; `weight` (N,), 0 without a label.

    `design` says in sentences where they come from and what they speak for.
    """

    is_bad: np.ndarray
    weight: np.ndarray
    design: tuple[str, ...]

    @property
    def is_known(self) -> np.ndarray:
        return np.isfinite(self.is_bad)


@dataclass(frozen=True)
class _Part:
    """One design: which masks it could have reached (N,), sampling `fraction`, `is_bad` and `weight` (N,) of those it
    labelled (NaN and 0 elsewhere).
    """

    is_reached: np.ndarray
    fraction: float
    is_bad: np.ndarray
    weight: np.ndarray
    words: str


def expressions(bad: str | None) -> dict[str, tuple[str, str]]:
    """What `frame.read` must bring along."""
    if bad is None:
        return {"gold_bad": ("labels", GOLD_SQL)}
    return {"bad": ("--bad", f"CAST(({bad}\n) AS BOOLEAN)")}


def read(lake: Lake, found: Frame, source: str, bad: str | None, verifier: str | None) -> Labels:
    """Labels of the masks of a frame that was read with `expressions`; `source` is one of SOURCES.

    Raises InputError where none is known, and says how to come by some.
    """
    if source == "verifier":
        return _opinions(lake, found, verifier)
    if bad is not None and not _OF_VERDICTS.search(bad):
        is_bad = frame.numbers(found, "bad")
        return _checked(
            lake, Labels(is_bad, np.isfinite(is_bad) * 1.0, (f"bad where {bad}: every mask that tells",))
        )
    parts = list(_samples(lake, found, bad)) if source != "gold" else []
    if bad is None and source != "verdicts":
        parts += _gold(found)
    return _checked(lake, _together(lake, found, parts))


def _gold(found: Frame) -> list[_Part]:
    is_bad = frame.numbers(found, "gold_bad")
    known = np.isfinite(is_bad)
    if not known.any():
        return []
    n_images = len(np.unique(found.image_id[known]))
    words = f"gold: all {known.sum():,} masks of {n_images:,} images with gold"
    return [_Part(known, 1.0, is_bad, known * 1.0, words)]


def _samples(lake: Lake, found: Frame, bad: str | None) -> Iterator[_Part]:
    """Drawn samples that have verdicts; labels are their verdicts, or what `bad` says of these masks."""
    rows = lake.con.execute("""
        SELECT DISTINCT sample FROM samples
        SEMI JOIN settled_verdicts USING (sample, mask_id)
        WHERE design <> 'purposive'
        ORDER BY sample
    """).fetchall()
    for (name,) in rows:
        of = judged.read(lake, name)
        if not of.is_settled.any():
            continue
        answered = answers(of.drawn, of.is_settled)
        at, is_in = _places(found.mask_id, of.mask_id[answered.place])
        if not len(at):
            continue
        is_bad, weight = np.full(len(found), np.nan), np.zeros(len(found))
        decisions = of.decision[answered.place][is_in]
        is_bad[at] = decisions != "accept" if bad is None else frame.numbers(found, "bad")[at]
        weight[at] = np.where(np.isfinite(is_bad[at]), answered.weight[is_in], 0)
        yield _Part(
            is_reached=_reached(lake, found, of.told),
            fraction=len(answered.place) / answered.n_frame,
            is_bad=is_bad,
            weight=weight,
            words=f"sample {name} ({of.drawn.design}): {len(at):,} of {answered.n_frame:,} masks judged",
        )


def _reached(lake: Lake, found: Frame, told: dict) -> np.ndarray:
    """Which masks the frame of a sample held when it was drawn, bool (N,)."""
    with Lake.open(lake.root, at=told["snapshot_id"]) as past:
        held = frame.read(past, Scope(told["frame_run_id"], told["frame_where"]))
    reached = np.zeros(len(found), bool)
    reached[_places(found.mask_id, held.mask_id)[0]] = True
    return reached


def _places(ours: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in `ours`, ascending ids (N,), of those of `wanted` (n,) that are there, and which these are, bool (n,)."""
    at = np.minimum(np.searchsorted(ours, wanted), len(ours) - 1)
    is_in = ours[at] == wanted
    return at[is_in], is_in


def _together(lake: Lake, found: Frame, parts: list[_Part]) -> Labels:
    """Designs as one: the label of a mask is the first part's that has one, so a verdict's before gold's."""
    is_bad, weight = np.full(len(found), np.nan), np.zeros(len(found))
    reach = sum((part.fraction * part.is_reached for part in parts), np.zeros(len(found)))
    for part in parts:
        # A mask that was drawn from a frame that no longer shows it is still one that this design reached.
        shared = np.where(part.is_reached, reach, reach + part.fraction)
        weight += np.divide(part.fraction * part.weight, shared, out=np.zeros(len(found)), where=shared > 0)
        is_bad = np.where(np.isfinite(is_bad), is_bad, part.is_bad)
    design = [part.words for part in parts]
    if len(parts) > 1:
        design.append("a mask that several of these could have reached counts once")
    covered = float((reach > 0).mean())
    if parts and covered < 1:
        design.append(
            f"they speak for {100 * covered:.0f} % of the searched masks; the others are taken to be like these"
        )
    n_on_purpose = _on_purpose(lake, found, is_bad)
    if n_on_purpose:
        design.append(f"{n_on_purpose:,} masks that were judged on purpose only are left out")
    return Labels(np.where(weight > 0, is_bad, np.nan), weight, tuple(design))


def _on_purpose(lake: Lake, found: Frame, is_bad: np.ndarray) -> int:
    """Masks with a verdict that counts in no rate."""
    rows = lake.con.execute(
        "SELECT DISTINCT mask_id FROM settled_verdicts WHERE decision IS NOT NULL"
    ).fetchall()
    at, _ = _places(found.mask_id, np.array([mask_id for (mask_id,) in rows], np.int64))
    return int(np.isnan(is_bad[at]).sum())


def _opinions(lake: Lake, found: Frame, verifier: str | None) -> Labels:
    rows = lake.query(
        "SELECT mask_id, score FROM verifier_scores WHERE verifier = ? ORDER BY mask_id", [verifier]
    )
    at, is_in = _places(found.mask_id, rows["mask_id"].to_numpy())
    is_bad = np.full(len(found), np.nan)
    is_bad[at] = rows["score"].to_numpy()[is_in] < VERIFIER_BAD
    words = f"the opinion of verifier {verifier} (score under {VERIFIER_BAD}) on {len(at):,} masks, and no person's"
    if not len(at):
        raise InputError(
            f"{lake.root}: verifier {verifier} has scored none of these masks: `curation verifier score` does"
        )
    return Labels(is_bad, np.isfinite(is_bad) * 1.0, (words,))


def _checked(lake: Lake, labels: Labels) -> Labels:
    if not labels.is_known.any():
        left_out = "".join(f"; {words}" for words in labels.design)
        raise InputError(
            f"{lake.root}: of none of the {len(labels.is_bad):,} searched masks is it known whether it is bad{left_out}. "
            "Match them with gold (`curation gold match`), judge a drawn sample (`curation sample draw NAME --design srs "
            "--size 400`, then the review app), or say what is bad with --bad EXPR"
        )
    return labels
