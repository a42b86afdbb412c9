"""mine: what a person should see next."""

from typing import Annotated

import pyarrow.compute as pc
import typer

from curation.cli.options import Format, Out, OutputFormat, Workspace, open_lake, who
from curation.cli.output import messages, print_table

#: Rows on the terminal; files and other formats have all.
_SHOWN = 20


def register(app: typer.Typer) -> None:
    app.command("mine")(mine)


def mine(
    workspace: Workspace,
    budget: Annotated[int, typer.Option(min=1, help="Masks that people can look at.")],
    random_share: Annotated[
        float, typer.Option(help="Part of the budget that is drawn by chance, 0..1: the audit.")
    ] = 0.05,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the sample; the audit is NAME-audit. Default: mine-1, -2, …"),
    ] = None,
    verifier: Annotated[
        str | None,
        typer.Option(help="Go by its scores. Default: the newest with scores, else predicted_iou."),
    ] = None,
    run: Annotated[
        int | None, typer.Option("--run", help="Masks of this run; else of the newest run of each image.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same masks.")] = 0,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Draw the masks that a person should see next: worth mending, next to a threshold, in small clusters that fail.

    They become a sample that is drawn on purpose, beside a random one that keeps estimates honest; both are judged in
    the app.
    """
    from curation.engine import mining

    request = mining.Request(budget, name, random_share, verifier, run, seed, who())
    with open_lake(workspace) as lake:
        mined = mining.mine(lake, request)
    counts = {row["values"]: row["counts"] for row in pc.value_counts(mined.rows["motive"]).to_pylist()}
    told = ", ".join(f"{n:,} {motive}" for motive, n in counts.items())
    basis = mined.score.verifier or mined.score.expression
    messages.print(
        f"sample {mined.sample}: {told}; by {basis}, threshold {mined.threshold:.4g}", markup=False
    )
    if mined.audit:
        messages.print(
            f"sample {mined.audit}: the random audit, the only part that rates follow from", markup=False
        )
    if mined.rows.num_rows < budget:
        messages.print(
            f"{budget:,} masks were asked for; all {mined.n_left:,} that no sample holds are in", markup=False
        )
    rows = mined.rows.select(["sample", "rank", "mask_id", "motive", "bad_chance", "reason"])
    if output_format is not Format.table or out is not None:
        print_table(mined.rows, output_format, out)
        return
    print_table(rows.slice(0, _SHOWN))
    if rows.num_rows > _SHOWN:
        messages.print(f"the first {_SHOWN} of {rows.num_rows:,}; --format csv has all", style="dim")
