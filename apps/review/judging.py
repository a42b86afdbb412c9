"""What the Review component asks, in its own terms: JSON in, calls of the engine, JSON out.

Nothing that could colour a judgement goes out: no score, no other verdict, no purpose, not even the mask's number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from apps.review.access import Person
from curation.errors import InputError
from curation.lake import Lake
from curation.review import queue, verdicts
from curation.sampling import stopping
from curation.settings import REVIEW

T = TypeVar("T")
#: Verdicts a request may hold; the component sends 50.
MOST_VERDICTS = 500


@dataclass(frozen=True)
class Wish:
    """What a page asks for. `starts`: a new page, which is shown first what its rater holds already."""

    sample: str
    n: int
    starts: bool = False
    adjudicates: bool = False


def tasks(lake: Lake, person: Person, wish: Wish) -> dict[str, object]:
    """The next tasks of a rater, with all that is needed to show them."""
    found = queue.open_tasks(lake, person.rater, wish.sample) if wish.starts else []
    purposes = queue.ROUTINE
    if wish.adjudicates and person.role == "curator":
        purposes = purposes | {"adjudicate"}
    if len(found) < wish.n:
        found += queue.next_tasks(
            lake, person.rater, wish.sample, min(wish.n, REVIEW.tasks_at_once) - len(found), purposes=purposes
        )
    ends = [task.lease_until for task in found]
    return {
        "tasks": _shown(lake, found),
        "lease_until": min(ends).isoformat() if ends else None,
    }


def _shown(lake: Lake, found: Sequence[queue.Task]) -> list[dict[str, object]]:
    """Picture, size, box and outline of each task, in their order."""
    rows = lake.query(
        """
        SELECT mask_id, width_px, height_px, bbox_xywh, rle_counts
        FROM masks
        WHERE list_contains($runs, run_id) AND list_contains($masks, mask_id)
        """,
        {"runs": sorted({task.run_id for task in found}), "masks": [task.mask_id for task in found]},
    ).to_pylist()
    masks = {row["mask_id"]: row for row in rows}
    return [
        {
            "task_id": task.task_id,
            # JavaScript's numbers end at 53 bits
            "image": str(task.image_id),
            "width": mask["width_px"],
            "height": mask["height_px"],
            "box": mask["bbox_xywh"],
            "rle": mask["rle_counts"],
            "is_small": task.is_small,
        }
        for task in found
        if (mask := masks.get(task.mask_id))
    ]


def progress(lake: Lake, person: Person, sample: str, half_width: float) -> dict[str, object]:
    """How far the sample is, and this rater in it; nothing of others, and no share that could pull a judgement.

    Asked by itself and seldom: it takes twice as long to count as the next tasks to find.
    """
    found = queue.progress(lake, sample)
    mine = next((rater for rater in found.raters if rater.rater == person.rater), None)
    return {
        "n_drawn": found.n_drawn,
        "n_judged": found.n_judged,
        "n_mine": mine.n_verdicts if mine else 0,
        "verdicts_per_hour": mine.verdicts_per_hour if mine else None,
        "enough": _enough(lake, sample, half_width),
    }


def _enough(lake: Lake, sample: str, half_width: float) -> str | None:
    """In words, that enough is judged; None before, and for a sample drawn on purpose, which estimates nothing."""
    designs = lake.query("SELECT DISTINCT design FROM samples WHERE sample = ?", [sample])[
        "design"
    ].to_pylist()
    if designs == ["purposive"] or not stopping.enough(lake, sample, half_width=half_width).is_enough:
        return None
    return f"Enough: the accepted share is known to ± {half_width:g}"


def give(lake: Lake, person: Person, body: Mapping[str, object]) -> dict[str, object]:
    """Write verdicts; the answer names those that are committed, and those refused with the reason."""
    sent = body.get("verdicts")
    if not isinstance(sent, list) or len(sent) > MOST_VERDICTS:
        raise InputError(f"verdicts: write a list of at most {MOST_VERDICTS}")
    refused: dict[str, str] = {}
    readable = []
    for item in sent:
        try:
            readable.append(_verdict(item, person))
        except InputError as error:
            refused[str(item.get("verdict_id")) if isinstance(item, dict) else ""] = str(error)
    given = verdicts.give(lake, readable)
    return {"acknowledged": sorted(given.acknowledged), "refused": {**refused, **given.refused}}


def renew(lake: Lake, person: Person, sample: str) -> dict[str, object]:
    """Let the leases of an open page run on."""
    return {"lease_until": queue.renew(lake, person.rater, sample).isoformat()}


def release(lake: Lake, person: Person, sample: str) -> dict[str, object]:
    """Give back what the rater holds of a sample."""
    queue.release(lake, person.rater, sample)
    return {}


def wish(body: Mapping[str, object]) -> Wish:
    """What was asked for. Raises InputError."""
    return Wish(
        sample_of(body),
        max(1, _typed(body, "n", int, REVIEW.tasks_at_once)),
        _typed(body, "starts", bool, False),
        _typed(body, "adjudicates", bool, False),
    )


def sample_of(body: Mapping[str, object]) -> str:
    return _typed(body, "sample", str)


def _verdict(item: object, person: Person) -> verdicts.Verdict:
    """A verdict as the engine takes it; who gives it says the token, never the request."""
    if not isinstance(item, dict):
        raise InputError(f"a verdict is a JSON object, not {type(item).__name__}")
    reasons = _typed(item, "reasons", list, [])
    if not all(isinstance(reason, str) for reason in reasons):
        raise InputError("reasons: a list of names")
    return verdicts.Verdict(
        verdict_id=_typed(item, "verdict_id", str),
        rater=person.rater,
        decision=_typed(item, "decision", str),
        task_id=_optional(item, "task_id", str),
        mask_id=_mask(item),
        rating=_optional(item, "rating", int),
        reasons=reasons,
        note=_optional(item, "note", str),
        replaces=_optional(item, "replaces", str),
        took_s=_typed(item, "took_s", (int, float), 0.0),
        given_at=_time(item),
    )


def _mask(item: Mapping[str, object]) -> int | None:
    """The mask that a verdict of image mode, which answers no task, is about."""
    text = _optional(item, "mask", str)
    if text is not None and not text.isdecimal():
        raise InputError(f"mask: {text!r} came; it must be the digits of an id, as text")
    return None if text is None else int(text)


def _time(item: Mapping[str, object]) -> datetime | None:
    text = _optional(item, "given_at", str)
    try:
        # Python 3.10 does not read the Z that browsers write
        return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
    except ValueError as error:
        raise InputError(f"given_at {text!r}: write an ISO 8601 time") from error


def _typed(body: Mapping[str, object], name: str, types: Any, default: object = None) -> Any:
    value = body.get(name, default)
    if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
        raise InputError(f"{name}: {value!r} came; see apps/review/judging.py for what is sent")
    return value


def _optional(body: Mapping[str, object], name: str, kind: Callable[..., T]) -> T | None:
    return None if body.get(name) is None else _typed(body, name, kind)
