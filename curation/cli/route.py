"""route: which masks are accepted, which a person sees, which are dropped."""

from typing import Annotated

import typer

from curation.cli.options import Format, Out, OutputFormat, Workspace, open_lake, who
from curation.cli.output import console, messages, print_table


def register(app: typer.Typer) -> None:
    app.command("route")(route)


def route(
    workspace: Workspace,
    max_bad: Annotated[
        float, typer.Option(help="Promise: at most this share of the accepted masks is bad, 0..1.")
    ] = 0.02,
    confidence: Annotated[float, typer.Option(help="Chance with which a promise holds, 0..1.")] = 0.95,
    verifier: Annotated[
        str | None,
        typer.Option(help="Compare its scores. Default: the newest with scores, else predicted_iou."),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(help="Compare an SQL expression over masks that no label went into, larger is better."),
    ] = None,
    max_good_lost: Annotated[
        float,
        typer.Option(help="Promise: at most this share of the rejected masks is good; 0 rejects nothing."),
    ] = 0.10,
    population: Annotated[
        str,
        typer.Option(
            help="images: the promise holds for images like the labelled ones. frame: for these masks, of which some were drawn to be judged; needs fewer."
        ),
    ] = "images",
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="A bound that holds whatever happens inside images; needs many more labels."
        ),
    ] = False,
    preset: Annotated[
        str | None, typer.Option(help="seeds: accept from 0.9, reject below 0.7, and promise nothing.")
    ] = None,
    run: Annotated[
        int | None, typer.Option("--run", help="Masks of this run; else of the newest run of each image.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the routing. Default: routing-1, -2, …")] = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Accept, review or reject every mask, with a promise on what is accepted.

    Thresholds are chosen on labelled masks: verdicts on probability samples, and gold. Ends with 1 where the promise
    cannot be given yet; then no mask is accepted.
    """
    from curation import queries
    from curation.cli import route_tables
    from curation.verifier import routing

    request = routing.Request(
        name=name,
        verifier=verifier,
        score=score,
        max_bad=max_bad,
        confidence=confidence,
        max_good_lost=max_good_lost or None,
        population=population,
        is_exact=exact,
        preset=preset,
        run_id=run,
        routed_by=who(),
    )
    with open_lake(workspace) as lake:
        routed = routing.route(lake, request)
        shares = queries.get("route_distribution").run(lake, routing=routed.row["routing"])
        savings = queries.get("routing_savings").run(lake, routing=routed.row["routing"]).to_pylist()[0]
    for reason in routed.left_out:
        messages.print(f"not used: {reason}", style="dim", markup=False)
    told = console if output_format is Format.table and out is None else messages
    for line in route_tables.of_promise(routed.row):
        told.print(line, markup=False)
    print_table(shares, output_format, out)
    told.print(route_tables.of_savings(savings), markup=False)
    if preset is None and routed.row["accept_from"] is None:
        raise typer.Exit(1)
