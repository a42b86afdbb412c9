"""What the doctor says of one thing that is wrong."""

from collections.abc import Callable
from dataclasses import dataclass

import duckdb

Repair = Callable[[duckdb.DuckDBPyConnection], int]


@dataclass(frozen=True)
class Finding:
    """`n` rows, files or masks of `table` that are wrong alike; `found` says how, with an example.

    `is_problem` is false for what may well be meant. `repair` (inside a commit; gives how many rows or shards it
    changed) is what `--fix` does, `remedy` what a person can do.
    """

    check: str
    table: str
    n: int
    found: str
    remedy: str
    is_problem: bool = True
    repair: Repair | None = None
