"""doctor: what is wrong with the installation and with a workspace, and what is safe to mend."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from curation.cli.options import Format, open_lake
from curation.cli.output import messages, print_table
from curation.cli.progress import progress
from curation.engine import doctor, doctor_installation
from curation.engine.doctor import Advance
from curation.engine.doctor_finding import Finding
from curation.engine.doctor_installation import THERE, Part

PARTS = pa.schema([(name, pa.string()) for name in ("part", "state", "detail", "costs", "get")])
FINDINGS = pa.schema(
    [("check", pa.string()), ("table", pa.string()), ("n", pa.int64()), ("is_problem", pa.bool_())]
    + [(name, pa.string()) for name in ("found", "remedy")]
)


def register(app: typer.Typer) -> None:
    app.command("doctor")(examine)


def examine(
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace", "-w", envvar="CURATION_WORKSPACE", help="Examine this workspace as well."
        ),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what can be computed again; says what it did.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Examine the installation, and a workspace: contracts, orphans, masks, images, embeddings.

    Ends with 1 where something is wrong that was not mended. Missing optional parts and what may well be meant
    are told, and are no problem.
    """
    parts = list(doctor_installation.examine())
    found: list[Finding] = []
    mended: list[tuple[Finding, int]] = []
    if workspace is not None:
        with open_lake(workspace, read_only=not fix) as lake:
            found = doctor.examine(lake, _check)
            if fix:
                mended = doctor.mend(lake, found)
    left = [finding for finding in found if finding not in [done for done, _ in mended]]
    n_problems = sum(part.is_problem for part in parts) + sum(finding.is_problem for finding in left)
    if as_json:
        print(json.dumps(_told(parts, found, mended, n_problems), indent=2))
    else:
        _print(parts, workspace, found, mended)
    if n_problems:
        messages.print(f"{n_problems} problem{'' if n_problems == 1 else 's'}", style="red")
        raise typer.Exit(1)
    messages.print("no problem", style="green")


@contextmanager
def _check(about: str, n_items: int) -> Iterator[Advance]:
    with progress(n_items, unit="items", about=about) as bar:
        yield bar.advance


def _print(
    parts: list[Part], workspace: Path | None, found: list[Finding], mended: list[tuple[Finding, int]]
) -> None:
    print_table(_rows(parts, PARTS), Format.table)
    if workspace is None:
        return
    if found:
        print_table(_rows(found, FINDINGS), Format.table)
    else:
        messages.print(f"{workspace}: nothing is wrong with it")
    for finding, n_changed in mended:
        what = "shards will be measured again" if finding.check == "measure" else "rows taken out"
        messages.print(f"mended {finding.table}: {n_changed:,} {what}")


def _rows(things: list[Part] | list[Finding], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([vars(thing) for thing in things], schema)


def _told(
    parts: list[Part], found: list[Finding], mended: list[tuple[Finding, int]], n_problems: int
) -> dict:
    n_changed = {id(finding): n for finding, n in mended}
    return {
        "n_problems": n_problems,
        "installation": [asdict(part) | {"is_there": part.state == THERE} for part in parts],
        "workspace": [
            {name: getattr(finding, name) for name in FINDINGS.names}
            | {"n_mended": n_changed.get(id(finding))}
            for finding in found
        ],
    }
