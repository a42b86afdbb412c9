"""cycle: turns of annotate, train, regenerate and compare."""

from typing import Annotated

import pyarrow as pa
import typer

from curation.cli.options import At, Format, Out, OutputFormat, Workspace, open_lake, who
from curation.cli.output import console, messages, print_table
from curation.engine import cycles
from curation.engine.cycles import STAGES, Cycle, Rates
from curation.settings import CYCLE

Stage = Annotated[str, typer.Option(help=f"Stage of the data engine: {', '.join(STAGES)}.")]
Note = Annotated[str | None, typer.Option(help="Free text.")]
#: Figures in the table of cycles, with their headings.
SHOWN = {
    "auto_accept_rate": "auto-accepted",
    "manual_per_image": "manual / image",
    "to_mend_per_image": "to mend / image",
    "masks_per_image": "masks / image",
    "precision": "precision",
    "recall": "recall",
    "boundary_iou": "boundary IoU",
    "calibration_error": "calibration error",
}


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Cycles: annotate, train, regenerate, compare.")
    group.command("open")(open_)
    group.command()(close)
    group.command()(status)
    app.add_typer(group, name="cycle")


def open_(
    workspace: Workspace,
    stage: Stage,
    cycle: Annotated[int | None, typer.Option(min=0, help="Its number; else the next one.")] = None,
    model: Annotated[str | None, typer.Option(help="Model that it starts with.")] = None,
    note: Note = None,
) -> None:
    """Open a cycle: runs with its stage and number belong to it."""
    with open_lake(workspace) as lake:
        number = cycles.open_cycle(lake, stage, cycle, model, note, who())
    console.print(f"{stage}: cycle {number} is open")
    messages.print(
        f"Next: curation generate … --stage {stage} --cycle {number}, review and correct, gold match, "
        f"then curation cycle close --stage {stage}",
        style="dim",
    )


def close(
    workspace: Workspace,
    stage: Stage,
    cycle: Annotated[int | None, typer.Option(min=0, help="Its number; else the open one.")] = None,
    person_hour: Annotated[
        float, typer.Option(min=0, help="What an hour of a person costs.")
    ] = CYCLE.person_hour,
    machine_hour: Annotated[
        float, typer.Option(min=0, help="What an hour of one process costs.")
    ] = CYCLE.machine_hour,
    currency: Annotated[str, typer.Option(help="Currency of both.")] = CYCLE.currency,
    note: Note = None,
) -> None:
    """Close a cycle: keep its figures, hours and cost, and what changed since the cycle before."""
    rates = Rates(person_hour, machine_hour, currency)
    with open_lake(workspace) as lake:
        closed = cycles.close_cycle(lake, stage, cycle, rates, note, who())
    console.print(f"{stage}: cycle {closed.cycle} is closed")
    print_table(pa.Table.from_pylist([_change(*named) for named in closed.figures.items()], _CHANGES))
    messages.print("95 % intervals, image as the cluster; changes paired by image", style="dim")
    messages.print(
        f"{closed.hours:.2f} h of people, {closed.machine_hours:.2f} h of processes, "
        f"{closed.cost:.2f} {closed.currency}"
    )


def status(
    workspace: Workspace,
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """The figures of every cycle, with 95 % intervals, hours and cost.

    Other formats than the table, and files, hold a row a figure of each cycle, with its change and design.
    """
    with open_lake(workspace, at, read_only=True) as lake:
        found = cycles.read(lake)
    if output_format is not Format.table or out is not None:
        print_table(_figures(found), output_format, out)
        return
    print_table(pa.Table.from_pylist([_line(cycle) for cycle in found], _LINES))
    messages.print("95 % intervals, image as the cluster; changes and designs: --format csv", style="dim")


_LINES = pa.schema(
    [(name, pa.string()) for name in ("stage", "cycle", "state", "model", "runs")]
    + [(name, pa.string()) for name in SHOWN.values()]
    + [(name, pa.string()) for name in ("hours", "cost")]
)


def _line(cycle: Cycle) -> dict[str, str]:
    line = {
        "stage": cycle.stage,
        "cycle": str(cycle.cycle),
        "state": cycle.state,
        "model": cycle.model or "",
        "runs": ", ".join(str(run_id) for run_id in cycle.run_ids),
        "hours": "" if cycle.hours is None else f"{cycle.hours:.2f}",
        "cost": "" if cycle.cost is None else f"{cycle.cost:.2f} {cycle.currency}",
    }
    return line | {name: _cell(cycle.figures.get(figure)) for figure, name in SHOWN.items()}


_CHANGES = pa.schema(
    [(name, pa.string()) for name in ("figure", "unit", "now", "images", "change", "since cycle")]
)


def _change(figure: str, row: dict) -> dict[str, str]:
    line = {"figure": figure, "unit": row["unit"], "now": _cell(row), "images": f"{row['n_images']:,}"}
    if row["cycle_before"] is None:
        return line
    change = {"estimate": row["change"], "low": row["change_low"], "high": row["change_high"]}
    return line | {"change": _cell(change), "since cycle": str(row["cycle_before"])}


def _cell(row: dict | None) -> str:
    if row is None or row["estimate"] is None:
        return ""
    if row["low"] is None:
        return f"{row['estimate']:.3g}"
    return f"{row['estimate']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"


_FIGURES = pa.schema(
    [
        ("stage", pa.string()), ("cycle", pa.int16()), ("state", pa.string()), ("figure", pa.string()),
        ("unit", pa.string()), ("estimate", pa.float64()), ("low", pa.float64()), ("high", pa.float64()),
        ("n_images", pa.int64()), ("n_units", pa.int64()), ("cycle_before", pa.int16()),
        ("change", pa.float64()), ("change_low", pa.float64()), ("change_high", pa.float64()),
        ("n_paired_images", pa.int64()), ("design", pa.string()),
    ]
)  # fmt: skip


def _figures(found: list[Cycle]) -> pa.Table:
    """A row a figure; hours and cost are counted, so they have no interval."""
    rows = []
    for cycle in found:
        of = {"stage": cycle.stage, "cycle": cycle.cycle, "state": cycle.state}
        rows += [{**of, "figure": name, **row} for name, row in cycle.figures.items()]
        if cycle.state == "closed":
            totals = {"person_hours": (cycle.hours, "h"), "machine_hours": (cycle.machine_hours, "h")}
            totals["cost"] = (cycle.cost, cycle.currency)
            rows += [
                {**of, "figure": name, "estimate": total, "unit": unit, "design": cycles.COUNTED}
                for name, (total, unit) in totals.items()
            ]
    return pa.Table.from_pylist(rows, _FIGURES)
