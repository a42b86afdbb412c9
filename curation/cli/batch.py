"""batch: masks that go back to people, what they made of them, and whether they got better."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.text import Text

from curation.cli.options import At, Format, Out, OutputFormat, Workspace, open_lake, who
from curation.cli.output import console, messages, print_table
from curation.cli.progress import progress
from curation.errors import InputError

Name = Annotated[str, typer.Argument(help="Name of the batch.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True,
        help="Masks that go back to people to be corrected, and the proof that it helped.",
    )
    for command in (status, export, merge, prove):
        group.command()(command)
    group.command("open")(open_)
    app.add_typer(group, name="batch")


def open_(
    name: Name,
    workspace: Workspace,
    cluster: Annotated[int | None, typer.Option(help="All masks of this failure cluster.")] = None,
    where: Annotated[str | None, typer.Option(help="Masks that meet this SQL condition.")] = None,
    run: Annotated[
        int | None, typer.Option("--run", help="With --where: this run; else the newest run of each image.")
    ] = None,
    sample: Annotated[str | None, typer.Option(help="Masks of this sample, such as a mined one.")] = None,
    mask_ids: Annotated[
        Path | None,
        typer.Option(help="File of mask ids: one a line, or a .csv or .parquet with a column mask_id."),
    ] = None,
    annotators: Annotated[
        str | None, typer.Option(help="Who works on it, in equal shares: ann,bob. Everybody without it.")
    ] = None,
    double_share: Annotated[
        float | None, typer.Option(help="Share of the masks that two people correct. Default: 0.1.")
    ] = None,
    due: Annotated[
        str | None, typer.Option(help="When it should be done: 2026-12-01, or with a time (UTC).")
    ] = None,
    purpose: Annotated[str, typer.Option(help="Why these masks, in words.")] = "",
) -> None:
    """Open a batch: every mask of it is to be corrected, accepted as it is, or rejected."""
    from curation.review import opening

    request = opening.Request(
        name=name,
        purpose=purpose,
        cluster=cluster,
        where=where,
        run_id=run,
        sample=sample,
        mask_ids=None if mask_ids is None else _ids(mask_ids),
        annotators=tuple(one.strip() for one in annotators.split(",")) if annotators else (),
        double_share=double_share,
        due_at=None if due is None else _moment(due),
        opened_by=who(),
    )
    with open_lake(workspace) as lake:
        opened = opening.open_batch(lake, request)
    batch = opened.batch
    left_out = (
        f"; {opened.n_superseded:,} were corrected already and are left out" if opened.n_superseded else ""
    )
    messages.print(
        f"batch {name}: {batch.n_masks:,} masks of {opened.n_images:,} images, {opened.n_two_people:,} for two people, "
        f"for {', '.join(batch.annotators) or 'everybody'}{left_out}",
        markup=False,
    )
    messages.print(
        f"Next: `curation app` and choose {name} in Correct, or `curation batch export {name} FOLDER`",
        markup=False,
    )


def status(
    workspace: Workspace,
    name: Annotated[str | None, typer.Argument(help="Name of the batch; all without it.")] = None,
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """How far batches are. Of one batch: a row an annotator, with their speed."""
    from curation.review import batch_status

    with open_lake(workspace, at, read_only=True) as lake:
        found = batch_status.status(lake, name)
        people = None if name is None else batch_status.annotators(lake, name)
    if people is None:
        print_table(found, output_format, out)
        return
    if output_format is Format.table and out is None:
        for line in _told(found.to_pylist()[0]):
            console.print(line)
    print_table(people, output_format, out)


def export(
    name: Name,
    out: Annotated[Path, typer.Argument(help="Folder to write into; made when it is not there.")],
    workspace: Workspace,
    file_format: Annotated[str, typer.Option("--format", help="coco or sa1b.")] = "coco",
    annotator: Annotated[str | None, typer.Option(help="Only this annotator's share.")] = None,
) -> None:
    """Write the masks that are still to do as COCO or SA-1B, with a manifest of what was sent."""
    from curation.review import batch_export

    with (
        open_lake(workspace, read_only=True) as lake,
        progress(None, unit="masks", about=f"export {name}") as bar,
    ):
        sent = batch_export.export(lake, name, out, file_format, annotator, bar.expect, bar.advance)
    done = f"; {sent.n_done:,} masks are done, or not theirs" if sent.n_done else ""
    console.print(
        f"{out}: {sent.n_masks:,} masks of {sent.n_images:,} images, version {sent.snapshot_id}{done}",
        soft_wrap=True,
    )


def merge(
    name: Name,
    path: Annotated[Path, typer.Argument(help="COCO file, or a folder of COCO files or SA-1B records.")],
    workspace: Workspace,
    annotator: Annotated[str, typer.Option(help="Who has corrected the masks.")],
    on_conflict: Annotated[
        str | None,
        typer.Option(
            help="Masks that somebody else corrected meanwhile: newest (what comes now supersedes that) or keep. Left alone "
            "and shown without it."
        ),
    ] = None,
    deleted: Annotated[
        str,
        typer.Option(
            help="Masks that are gone from an image that came back: report, or reject (a verdict on each)."
        ),
    ] = "report",
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Take corrected masks back: new masks that supersede the old ones. Run again, it goes on.

    Prints the conflicts. Ends with 1 while conflicts or bad records are left.
    """
    from curation.review import merge as back

    with open_lake(workspace) as lake, progress(None, unit="images", about=f"merge {name}") as bar:
        found = back.merge(
            lake, name, path, annotator, on_conflict, deleted, on_plan=bar.expect, on_images=bar.advance
        )
    _tell_merged(found)
    if found.conflicts:
        print_table(found.conflict_rows, output_format, out)
    if found.n_unresolved:
        messages.print(
            f"{found.n_unresolved} masks were corrected by others meanwhile; nothing was written for them. Look at both, then "
            "merge again with --on-conflict newest or --on-conflict keep",
            style="yellow",
        )
    if found.n_unresolved or found.problems:
        raise typer.Exit(1)


def _tell_merged(found) -> None:
    iou = f", mean IoU with what they supersede {np.mean(found.ious):.3f}" if found.ious else ""
    messages.print(
        f"{found.n_corrected:,} masks corrected{iou}; {found.n_confirmed:,} came back unchanged and are confirmed; "
        f"{found.n_already:,} were known already"
    )
    if found.deleted:
        what = (
            f"{found.n_rejected:,} of them rejected now"
            if found.n_rejected
            else "nothing was written for them"
        )
        messages.print(
            f"{len(found.deleted):,} masks are gone from images that came back, such as {found.deleted[0]}: {what} "
            "(--deleted reject makes a verdict of it)"
        )
    if found.missing:
        messages.print(
            f"{len(found.missing):,} masks did not come back, such as {found.missing[0]}: still to do"
        )
    for source, record, reason in found.problems[:5]:
        messages.print(f"{source} {record}: {reason}", style="yellow", markup=False, soft_wrap=True)
    if found.problems:
        messages.print(
            f"{len(found.problems)} annotations could not be used; nothing else was lost. See `curation query problems`.",
            style="yellow",
        )


def prove(
    name: Name,
    workspace: Workspace,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="Draw so many masks for people to judge, each before and after, blind."),
    ] = None,
    max_bad: Annotated[
        float | None,
        typer.Option(
            help="Share of bad masks to stay under, 0..1. Default: that of the masks outside the cluster."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same masks.")] = 0,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Show whether the masks of a batch got better: from gold where there is some, else from a blind sample."""
    from curation.engine import proof

    with open_lake(workspace) as lake:
        found = proof.prove(lake, name, size, max_bad, seed, by=who())
    for line in found.told:
        messages.print(line, markup=False, soft_wrap=True)
    if found.figures:
        print_table(found.rows, output_format, out)


def _ids(path: Path) -> list[int]:
    """Mask ids of a file. Raises InputError where it holds something else."""
    if not path.is_file():
        raise InputError(f"--mask-ids {path}: there is no such file")
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        return _column(path, pq.read_schema(path).names, lambda: pq.read_table(path, columns=["mask_id"]))
    if path.suffix.lower() == ".csv":
        import pyarrow.csv as pacsv

        read = pacsv.read_csv(path)
        return _column(path, read.column_names, lambda: read)
    lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    numbers = [line for line in lines if line and not line.startswith("#")]
    wrong = next((line for line in numbers if not line.isdecimal() or int(line) >= 1 << 63), None)
    if wrong is not None:
        raise InputError(f"--mask-ids {path}: {wrong[:40]!r} is no mask id; write one a line")
    return [int(line) for line in numbers]


def _column(path: Path, names: list[str], read) -> list[int]:
    import pyarrow as pa

    if "mask_id" not in names:
        raise InputError(f"--mask-ids {path}: no column mask_id; there are: {', '.join(names)}")
    try:
        return read()["mask_id"].cast(pa.int64()).drop_null().to_pylist()
    except pa.ArrowInvalid as error:
        raise InputError(f"--mask-ids {path}: mask_id: {error}") from error


def _moment(text: str) -> datetime:
    """A day (its end) or a moment, UTC where no zone is given. Raises InputError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--due {text!r}: write a day such as 2026-12-01, or 2026-12-01T17:00") from error
    if len(text) == len("2026-12-01"):
        moment = moment.replace(hour=23, minute=59, second=59)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _told(row: dict) -> list[Text]:
    """A batch in words."""

    def spread(name: str, unit: str, digits: int) -> str:
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        bounds = "" if low is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
        return f"{row[name]:.{digits}f}{unit}{bounds}"

    lines = [
        f"{row['n_done']:,} of {row['n_masks']:,} masks done: {row['n_corrected']:,} corrected, {row['n_accepted']:,} good as "
        f"they were, {row['n_rejected']:,} rejected; {row['n_answers']:,} of {row['n_answers_wanted']:,} answers, "
        f"{row['n_open']:,} masks out"
    ]
    if row["s_per_mask"] is not None:
        lines.append(f"{spread('s_per_mask', ' s', 1)} a mask (95 %, image as cluster)")
    if row["iou_of_two"] is not None:
        lines.append(
            f"IoU of two people's corrections {spread('iou_of_two', '', 3)}, {row['n_of_two']} masks of "
            f"{row['n_of_two_images']} images"
        )
    if row["n_conflicts"]:
        lines.append(f"{row['n_conflicts']} masks were corrected outside of the batch meanwhile")
    if row["due_at"] is not None:
        late = "" if row["late_h"] is None else f": late by {row['late_h']:.1f} h"
        lines.append(f"Due {row['due_at']:%Y-%m-%d %H:%M} UTC{late}")
    head = Text(
        f"Batch {row['batch']}: {row['state']}", style="bold red" if row["state"] == "late" else "bold"
    )
    return [head, Text(row["purpose"], style="dim"), *map(Text, lines)]
