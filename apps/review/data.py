"""What the views and the routes ask the lake; each caller borrows a connection that no other thread uses."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from queue import Empty, LifoQueue

from apps.review import access
from curation.errors import LakeError
from curation.lake import Lake
from curation.review import queue
from curation.review import rules as review_rules
from curation.review.rules import Rules

#: Open connections that wait for the next caller, by whether they have one thread. Opening one takes about 0.3 s, so they
#: are kept.
_idle: dict[bool, LifoQueue[Lake]] = {True: LifoQueue(), False: LifoQueue()}


def root() -> Path:
    """The workspace that this server shows. Raises LakeError where none was named."""
    named = os.environ.get("CURATION_WORKSPACE")
    if not named:
        raise LakeError("no workspace was named: start the app with `curation app --workspace FOLDER`")
    return Path(named).expanduser().resolve()


@contextmanager
def lake(is_quick: bool = False) -> Iterator[Lake]:
    """A connection for one thread and one piece of work. One that failed is closed, not handed on.

    `is_quick`: it asks for a few rows; then DuckDB spends half the time where it has one thread to plan for.
    """
    idle = _idle[is_quick]
    try:
        borrowed = idle.get_nowait()
    except Empty:
        borrowed = Lake.open(root())
        if is_quick:
            borrowed.con.execute("SET threads = 1")
    try:
        yield borrowed
    except BaseException:
        borrowed.close()
        raise
    idle.put(borrowed)


def close_idle() -> None:
    """Close the connections that wait, as where another workspace is shown next."""
    for idle in _idle.values():
        while not idle.empty():
            idle.get().close()


@lru_cache(maxsize=1)
def secret() -> bytes:
    return access.server_secret(root())


def rules() -> Rules:
    """Read at every call: a change of `review.toml` holds from the next page on."""
    return review_rules.read(root())


def samples(rater: str) -> list[dict[str, object]]:
    """Samples of the workspace with their numbers of masks: those with masks for this rater first, of these what
    `review.toml` puts first, then the newest.

    `is_done`: every mask is judged, and no second opinion of this rater is wanted. `is_batch`: its masks are for Correct,
    not for Review.
    """
    with lake() as lake_:
        rows = lake_.query(
            """
            SELECT
                samples.sample,
                count(*) AS n_masks,
                count(*) = count(judged.mask_id) AS is_done,
                samples.sample IN (SELECT batch FROM batches) AS is_batch
            FROM samples
            LEFT JOIN (
                SELECT DISTINCT sample, mask_id FROM current_verdicts WHERE decision <> 'skip'
            ) AS judged ON samples.sample = judged.sample AND samples.mask_id = judged.mask_id
            GROUP BY samples.sample
            ORDER BY min(samples.drawn_at) DESC, samples.sample
            """
        ).to_pylist()
        for row in rows:
            if row["is_done"] and not row["is_batch"]:
                row["is_done"] = not queue.wants_second_opinion(lake_, rater, row["sample"])
    urgency = rules().urgency
    return sorted(rows, key=lambda row: (row["is_done"], urgency(row["sample"])))


#: Most pictures whose place is kept.
_MOST_URIS = 100_000
#: Where pictures lie. An image's id is made from its URI, so it never changes.
_uris: dict[int, str] = {}


def picture_uri(image_id: int) -> str | None:
    """Where a picture lies; None where no run read it."""
    if image_id not in _uris:
        with lake(is_quick=True) as lake_:
            find_pictures(lake_, [image_id])
    return _uris.get(image_id)


def find_pictures(lake_: Lake, image_ids: Iterable[int]) -> None:
    """Look up where pictures lie that are about to be asked for: all of them take no longer than one."""
    unknown = list(set(image_ids) - _uris.keys())
    if not unknown:
        return
    if len(_uris) > _MOST_URIS:
        _uris.clear()
    found = lake_.con.execute(
        "SELECT image_id, any_value(uri) FROM images WHERE list_contains(?, image_id) GROUP BY image_id",
        [unknown],
    )
    _uris.update(found.fetchall())
