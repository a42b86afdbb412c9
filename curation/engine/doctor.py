"""The workspace examined: what its tables hold against their contracts, each other, the masks themselves and the files.

One SQL statement or one pass of the mask kernels a check, with bounded memory. Tables, columns and views that an older
curation left out are not looked for: opening a lake brings them in. Files that no commit took are `curation maintain`'s.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import duckdb

from curation.engine import (
    content_hashes,
    doctor_contracts,
    doctor_files,
    doctor_links,
    doctor_masks,
    doctor_measures,
)
from curation.engine.doctor_finding import Finding
from curation.lake import Lake
from curation.schemas import TABLES

#: Told of a check in words and of its number of items; gives what to call for each one done, with how many.
OnCheck = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Check:
    """`examine` finds what is wrong; `n_items` is the work that it counts for its progress."""

    about: str
    examine: Callable[[Lake, Advance], Iterator[Finding]]
    n_items: Callable[[Lake], int]


def _n_tables(_: Lake) -> int:
    return len(TABLES)


#: In this order: what later ones say of rows is only worth something where the earlier ones could read them.
CHECKS: Mapping[str, Check] = {
    "files": Check("data files of the tables", doctor_files.data_files, _n_tables),
    "contract": Check("types, nulls, bounds and keys", doctor_contracts.examine, _n_tables),
    "link": Check("rows that name each other", doctor_links.examine, lambda _: len(doctor_links.LINKS)),
    "mask": Check("every mask: RLE, size, area, box", doctor_masks.examine, doctor_masks.n_masks),
    "measure": Check("measures and embeddings", doctor_measures.examine, doctor_measures.n_checks),
    "image": Check("image files", doctor_files.image_files, doctor_files.n_images),
    "model": Check("trained models and releases", doctor_files.models_and_releases, lambda _: 2),
}


def unheard(about: str, n_items: int) -> AbstractContextManager[Advance]:
    """The progress that nobody hears."""
    return nullcontext(lambda n: None)


def examine(lake: Lake, on_check: OnCheck = unheard) -> list[Finding]:
    """Everything that is wrong with the workspace, check by check; nothing is written.

    A table whose files cannot be read is a finding of its own, and ends no other check.
    """
    found: list[Finding] = []
    with content_hashes.bounded_memory(lake):
        for name, check in CHECKS.items():
            try:
                with on_check(check.about, check.n_items(lake)) as advance:
                    found += check.examine(lake, advance)
            except duckdb.Error as error:
                found.append(
                    Finding(
                        name,
                        "",
                        1,
                        f"this check could not be done: {str(error).splitlines()[0]}",
                        remedy="mend what stands above first; missing files come back from a backup only",
                    )
                )
    return found


def mend(lake: Lake, found: list[Finding]) -> list[tuple[Finding, int]]:
    """Do what is safe about the findings that have a repair, a commit each; with how many rows or shards it changed.

    Safe is what can be computed again: derived rows of masks that are not there, and measures that are done again by
    `curation measure`. What people did (verdicts, drawn masks, samples) and what was generated is never touched.
    """
    return [
        (finding, lake.commit(finding.repair, f"doctor: {finding.check} of {finding.table}"))
        for finding in found
        if finding.repair is not None
    ]
