"""stage: where the data engine stands."""

from collections import Counter
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
import typer

from curation import queries
from curation.cli.options import At, Format, Out, OutputFormat, Workspace, assignments, open_lake
from curation.cli.output import console, print_table

Limit = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="NAME=VALUE: another limit, or gold_run_id (parameters of the report readiness); repeatable.",
    ),
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Stages and cycles of the data engine.")
    group.command()(status)
    app.add_typer(group, name="stage")


def status(
    workspace: Workspace,
    limits: Limit = None,
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Metrics of every stage and cycle, and whether the newest is ready for the next stage.

    Other formats than the table, and files, hold the readiness of every stage and cycle.
    """
    given, of_stages = assignments("--set", limits), queries.get("stage_evolution")
    shared = {p.name: given[p.name] for p in of_stages.params if p.name in given}
    with open_lake(workspace, at, read_only=True) as lake:
        evolution = of_stages.run(lake, **shared)
        readiness = queries.get("readiness").run(lake, **given)
    if output_format is not Format.table or out is not None:
        print_table(readiness, output_format, out)
        return
    console.print("[bold]Stages and cycles[/bold]")
    print_table(evolution)
    if readiness.num_rows:
        stage, cycle = readiness["stage"][-1].as_py(), readiness["cycle"][-1].as_py()
        is_newest = pc.and_(pc.equal(readiness["stage"], stage), pc.equal(readiness["cycle"], cycle))
        newest = readiness.filter(is_newest).drop_columns(["stage", "cycle"])
        console.print(f"\n[bold]Ready to leave {stage}, cycle {cycle}?[/bold] {_told(newest)}")
        print_table(newest)


def _told(criteria: pa.Table) -> str:
    counts = Counter(criteria["verdict"].to_pylist())
    answer = "No" if counts["not met"] else "Cannot tell yet" if counts["cannot tell yet"] else "Yes"
    return f"{answer}: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items()))
