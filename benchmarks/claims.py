"""A claim of speed: the same work by `curation` and by a peer, in one run; how many times faster, and the least that is asked.

Each benchmark prints its claims as lines of one form. `python -m benchmarks` gathers those of all in one table.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

#: File to which claims are appended, as JSON lines, for `python -m benchmarks`.
GATHERED_IN = "BENCHMARK_CLAIMS"


@dataclass(frozen=True)
class Claim:
    """Seconds (or any one unit) of both sides; `floor` None where no ratio is asked."""

    work: str
    peer: str
    ours: float
    theirs: float
    floor: float | None = None

    @property
    def ratio(self) -> float:
        """How many times faster `curation` is; above 1 is faster."""
        return self.theirs / self.ours

    @property
    def is_kept(self) -> bool:
        return self.floor is None or self.ratio >= self.floor

    def __str__(self) -> str:
        floor = "" if self.floor is None else f"{self.floor:g}x"
        kept = "" if self.is_kept else "  MISSED"
        return f"{self.work:52}{self.peer:46}{_short(self.ratio) + 'x':>8}{floor:>8}{kept}"


HEADER = f"{'work':52}{'peer':46}{'ratio':>8}{'floor':>8}"


def tell(*claims: Claim) -> bool:
    """Print claims, and hand them on where somebody gathers them; whether all are kept."""
    print(HEADER)
    for claim in claims:
        print(claim, flush=True)
    if path := os.environ.get(GATHERED_IN):
        with Path(path).open("a") as file:
            file.writelines(json.dumps(asdict(claim)) + "\n" for claim in claims)
    return all(claim.is_kept for claim in claims)


def gathered(path: Path) -> list[Claim]:
    """Claims that benchmarks appended to a file, in their order; none where there is no file."""
    return [Claim(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def _short(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"
