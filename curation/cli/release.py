"""release, verify-release: a dataset frozen with its report, checks and hashes, and the proof that it is as it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from curation.cli.options import Format, Out, OutputFormat, Workspace, open_lake, who
from curation.cli.output import console, messages, print_table
from curation.cli.progress import progress
from curation.engine import release_proof, releases
from curation.engine.releases import Draft, Request
from curation.errors import ChecksFailedError
from curation.lake import Lake

REPORT = "report.html"
DIFFERENCES = pa.schema([("what", pa.string()), ("name", pa.string()), ("change", pa.string())])


def register(app: typer.Typer) -> None:
    app.command()(release)
    app.command("verify-release")(verify_release)


def release(
    workspace: Workspace,
    name: Annotated[
        str, typer.Argument(help="Letters, digits, '.', '_' and '-'; it also names the version.")
    ],
    note: Annotated[str | None, typer.Option(help="What it is for; stands on the data card.")] = None,
    checks: Annotated[
        Path | None,
        typer.Option("--checks", help="TOML file with [[check]] tables, the gate of the release."),
    ] = None,
    even_if_failing: Annotated[
        bool, typer.Option("--even-if-failing", help="Release it although checks fail; that is recorded.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to make; else releases/NAME in the workspace.")
    ] = None,
    output_format: Annotated[
        str, typer.Option("--format", "-f", help=f"Format of the masks: {', '.join(releases.FORMATS)}.")
    ] = "sa1b",
    tag: Annotated[
        str | None,
        typer.Option("--tag", help="Release the version of this tag; else the newest, tagged NAME."),
    ] = None,
    n_worst: Annotated[
        int, typer.Option("--n-worst", min=0, max=200, help="Pictures of the worst masks in the report.")
    ] = 12,
) -> None:
    """Freeze the dataset: masks, report, check results, data card, and a manifest with the hashes of it all.

    Refused, with 1, where a check of --checks is not passed.
    """
    from curation.report import charts

    charts.check_installed()  # before long work, not after it
    request = Request(name, who(), out, tag, note, checks, even_if_failing, output_format)
    with open_lake(workspace) as lake:
        made = _made(lake, request, n_worst)
    console.print(f"{made.folder}", soft_wrap=True, highlight=False)
    if made.is_recovered:
        messages.print("its files were there whole from a call that was stopped in its last step")
    messages.print(
        f"release {made.release}: {made.n_masks:,} masks of {made.n_images:,} images, version {made.version}, "
        f"{made.n_files:,} files, {made.n_bytes / 1e6:.1f} MB"
    )
    if made.checks_passed is False:
        messages.print("It was released although not all checks are passed.", style="yellow")
    messages.print(f"SHA-256 of its manifest: {made.manifest_sha256}", soft_wrap=True)


def _made(lake: Lake, request: Request, n_worst: int) -> releases.Released:
    from curation.report.data_card import FILE_NAME, write_card
    from curation.report.page import write_report
    from curation.report.page.facts import Request as Page

    def write_page(frozen: Lake, draft: Draft) -> None:
        page = Page(n_worst=n_worst, at=draft.tag)
        written = write_report(frozen, draft.folder / REPORT, page)
        for problem in written.unreadable:
            messages.print(problem, style="yellow", markup=False)

    try:
        return releases.make(lake, request, {REPORT: write_page, FILE_NAME: write_card}, _step)
    except ChecksFailedError as error:
        messages.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error


def verify_release(
    workspace: Workspace,
    name: Annotated[str, typer.Argument(help="Name of the release.")],
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where its files lie now; else where they were written.")
    ] = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Prove that a release is as it was made: its files, the lake's tables at its version, its manifest.

    Lists each difference and ends with 1 where there is one.
    """
    with open_lake(workspace, read_only=True) as lake:
        sha256, found = release_proof.verify(lake, name, folder, _step)
    if not found:
        console.print(f"release {name} is as it was made; SHA-256 of its manifest: {sha256}", soft_wrap=True)
        return
    rows = [{"what": d.what, "name": d.name, "change": d.change} for d in found]
    print_table(pa.Table.from_pylist(rows, DIFFERENCES), output_format, out)
    messages.print(f"release {name} is not as it was made", style="red")
    raise typer.Exit(1)


@contextmanager
def _step(words: str, n_items: int | None) -> Iterator[Callable[[], None]]:
    """A line for a step; a bar where its items are counted."""
    if n_items is None:
        messages.print(f"· {words}")
        yield lambda: None
        return
    with progress(n_items, unit="items", about=words) as bar:
        yield bar.advance
