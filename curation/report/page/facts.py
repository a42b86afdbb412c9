"""What the page is about, and the rows of the reports that its sections read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

from curation import queries
from curation.errors import LakeError, QueryError
from curation.gold import agreement, ceilings
from curation.lake import Lake


@dataclass(frozen=True)
class Request:
    """What a person asks for. None takes the newest run that has masks, and the gold that has most of its images.

    `at` is the tag or version that the lake is opened at; `n_worst` counts pictures.
    """

    run_id: int | None = None
    gold_run_id: int | None = None
    n_worst: int = 12
    at: str | None = None


@dataclass(frozen=True)
class Subject:
    """One run against one gold. `run_id` is None in a lake without masks, `gold_run_id` where none was matched."""

    workspace: str
    root: str
    version: int
    tags: tuple[str, ...]
    made_at: datetime
    run_id: int | None
    gold_run_id: int | None
    n_worst: int


class Facts:
    """Rows of reports, each asked once, about the run and the gold of `subject`."""

    def __init__(self, lake: Lake, subject: Subject) -> None:
        self.lake, self.subject = lake, subject
        self._asked: dict[str, list[dict]] = {}

    def rows(self, name: str, **given: object) -> list[dict]:
        """Rows of a report. `run_id` and `gold_run_id` are the subject's where the report has them, unless given.

        No rows of a run that is not there. Without gold a report finds none itself, and still tells of the masks.
        """
        ours = {"run_id": self.subject.run_id, "gold_run_id": self.subject.gold_run_id}
        report = queries.get(name)
        filled = {p.name: ours[p.name] for p in report.params if p.name in ours and p.name not in given}
        if "run_id" in filled and filled["run_id"] is None:
            return []
        key = f"{name} {sorted(given.items())}"
        if key not in self._asked:
            self._asked[key] = report.run(self.lake, **filled, **given).to_pylist()
        return self._asked[key]

    def bootstrapped(self) -> list[dict]:
        """Rows of `curation gold agreement` of the run against its gold: both intervals of every figure."""
        return agreement.rows(
            agreement.agreement(self.lake, "run", self.subject.run_id, self.subject.gold_run_id)
        ).to_pylist()

    def ceilings(self) -> list[dict]:
        """Rows of `curation gold ceilings`; none where no two annotators' gold of the run's images is compared."""
        if len({row["gold_run_id"] for row in self.rows("gold_agreement", gold_run_id=None)}) < 2:
            return []
        try:
            return ceilings.rows(ceilings.ceilings(self.lake, self.subject.run_id)).to_pylist()
        except LakeError:
            return []


def choose(lake: Lake, request: Request) -> Subject:
    """The run and the gold of the page.

    Raises QueryError where a named run has no masks, or a named gold run was not matched with it.
    """
    there = [row["run_id"] for row in _report(lake, "stage_summary") if row["n_masks"]]
    if request.run_id is not None and request.run_id not in there:
        raise QueryError(f"--run {request.run_id}: no such run with masks; there are: {_listed(there)}")
    run_id = request.run_id if request.run_id is not None else max(there, default=None)
    return Subject(
        workspace=lake.root.name,
        root=str(lake.root),
        version=lake.version(),
        tags=_tags(lake, request.at),
        made_at=datetime.now(timezone.utc),
        run_id=run_id,
        gold_run_id=_gold_of(lake, run_id, request.gold_run_id),
        n_worst=request.n_worst,
    )


def _gold_of(lake: Lake, run_id: int | None, asked: int | None) -> int | None:
    matched = {}
    for row in _report(lake, "gold_agreement", run_id=run_id) if run_id is not None else []:
        if row["figure"] == "recall":
            matched[row["gold_run_id"]] = row["n_images"]
    if asked is None:
        return max(matched, key=lambda gold: (matched[gold], gold), default=None)
    if asked not in matched:
        raise QueryError(
            f"--gold {asked}: no such gold run is matched with run {run_id}; matched are: {_listed(matched)}. "
            f"`curation gold match --run {run_id} --gold {asked}` matches"
        )
    return asked


def _tags(lake: Lake, at: str | None) -> tuple[str, ...]:
    """Names of the version that is shown. A version does not hold its own tag, which is given later."""
    if at is not None and not at.isdigit():
        return (at,)
    version = lake.version()
    return tuple(tag["name"] for tag in lake.tags().to_pylist() if tag["snapshot_id"] == version)


def _report(lake: Lake, name: str, **given: object) -> list[dict]:
    return queries.get(name).run(lake, **given).to_pylist()


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers)) or "none"
