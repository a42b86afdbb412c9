"""failures: groups of masks that fail alike: found, shown, judged further, flagged."""

import json
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer
from rich.text import Text

from curation.cli.options import Format, Out, OutputFormat, Workspace, assignments, open_lake, who
from curation.cli.output import console, messages, print_table

Cluster = Annotated[int, typer.Argument(help="Number of the cluster.")]
#: What a table on a terminal shows of a cluster; other formats have all columns but the embedding.
_SHOWN = (
    "cluster", "status", "words", "bad_share", "bad_share_low", "bad_share_high", "rest_bad_share", "n_bad", "n_bad_low",
    "n_bad_high", "n_masks", "n_images", "q_value", "failure_mode",
)  # fmt: skip

#: Pictures that cannot be read that are named one by one.
_MOST_PROBLEMS = 3


def register(app: typer.Typer) -> None:
    failures = typer.Typer(
        no_args_is_help=True, help="Where masks fail: clusters that are real, and their fate."
    )
    for command in (find, show, sheet, sample, flag):
        failures.command()(command)
    failures.command("list")(list_)
    app.add_typer(failures, name="failures")


def find(
    workspace: Workspace,
    run: Annotated[
        int | None, typer.Option("--run", help="Masks of this run; else of the newest run of each image.")
    ] = None,
    where: Annotated[str | None, typer.Option(help="Only masks that meet this SQL condition.")] = None,
    bad: Annotated[
        str | None,
        typer.Option(
            help='SQL that says which masks are bad, such as "gold_iou < 0.75"; else people and gold.'
        ),
    ] = None,
    labels: Annotated[
        str, typer.Option(help="Whose word counts: all (gold and drawn samples), gold, verdicts or verifier.")
    ] = "all",
    verifier: Annotated[
        str | None, typer.Option(help="A verifier whose scores rules may name, and for --labels verifier.")
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=SQL: one more thing that rules may name, such as \"night=file_name LIKE 'n%'\"."
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="Of the halves; the same seed finds the same. Trying seeds until one finds something makes q-values too small.",
        ),
    ] = 0,
    least_difference: Annotated[
        float | None, typer.Option(min=0, max=1, help="Smallest excess of the bad share that is reported.")
    ] = None,
    least_images: Annotated[
        int | None, typer.Option(min=2, help="Fewest labelled images of a cluster, in each half.")
    ] = None,
    most_false: Annotated[
        float | None, typer.Option(min=0, max=1, help="Expected share of false finds (Benjamini-Hochberg).")
    ] = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Search for groups of masks that fail alike: found on half of the images, tested on the other half."""
    from dataclasses import replace

    from curation.failures import finding
    from curation.sampling.frame import Scope
    from curation.settings import FAILURES

    asked = {"least_difference": least_difference, "least_images": least_images, "most_false": most_false}
    settings = replace(FAILURES, **{name: value for name, value in asked.items() if value is not None})
    request = finding.Request(
        Scope(run, where), bad, labels, verifier, assignments("--attribute", attribute), seed
    )
    with open_lake(workspace) as lake:
        found = finding.find(lake, request, settings)
    for line in _told(found.told):
        messages.print(line, markup=False, style="dim", highlight=False)
    _print(found.clusters, output_format, out)
    if found.search_id is None:
        messages.print("no group fails more than the rest: nothing is kept of this search", markup=False)
    else:
        messages.print(
            f"search {found.search_id}; `curation failures sheet CLUSTER out.png` shows one", markup=False
        )


def list_(
    workspace: Workspace,
    status: Annotated[str | None, typer.Option(help="Only clusters of this status.")] = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """List the clusters, most bad masks first, as the newest search that found each says."""
    from curation.failures import clusters

    with open_lake(workspace, read_only=True) as lake:
        rows = clusters.newest(lake)
    if status is not None:
        rows = rows.filter(pa.array([one == status for one in rows["status"].to_pylist()], pa.bool_()))
    _print(rows, output_format, out)


def show(workspace: Workspace, cluster: Cluster) -> None:
    """Show all that is known of a cluster, how it was found, and what became of it."""
    from curation.failures import clusters

    with open_lake(workspace, read_only=True) as lake:
        row, events = clusters.one(lake, cluster), clusters.events(lake, cluster).to_pylist()
    for line in _lines(row):
        console.print(line)
    for line in _told(json.loads(row["search"])):
        console.print(Text(f"  {line}", style="dim"))
    for event in events:
        said = [event["by_whom"] and f"by {event['by_whom']}", event["batch"] and f"batch {event['batch']}"]
        said += [event["search_id"] and f"search {event['search_id']}", event["note"]]
        console.print(
            Text(
                f"  {event['at_utc']:%Y-%m-%d %H:%M} UTC  {event['status']}  {', '.join(s for s in said if s)}"
            )
        )


def sheet(
    workspace: Workspace,
    cluster: Cluster,
    out: Annotated[Path, typer.Argument(help="PNG file to write.")],
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many masks.")] = 24,
) -> None:
    """Draw a contact sheet of a cluster: its masks close up, bad ones first."""
    from curation.report.cluster_sheet import draw_cluster

    with open_lake(workspace, read_only=True) as lake:
        drawn = draw_cluster(lake, cluster, out, n)
    messages.print(f"{drawn.path}: {drawn.n_masks} masks of {drawn.n_images} images", markup=False)
    for problem in drawn.unreadable[:_MOST_PROBLEMS]:
        messages.print(problem, style="yellow", markup=False)
    if drawn.unreadable:
        n = len(drawn.unreadable)
        messages.print(f"{n} picture{'' if n == 1 else 's'} could not be drawn", style="yellow")
        raise typer.Exit(1)


def sample(
    workspace: Workspace,
    cluster: Cluster,
    name: Annotated[str, typer.Argument(help="Name of the sample.")],
    size: Annotated[int, typer.Option(min=1, help="Masks to draw.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same masks.")] = 0,
) -> None:
    """Draw more masks of a cluster to be judged: simple random, so that verdicts count in rates."""
    from curation.failures import tickets

    with open_lake(workspace) as lake:
        rows = tickets.draw(lake, cluster, name, size, seed, who())
    n_images = len(rows["image_id"].unique())
    messages.print(
        f"sample {name}: {rows.num_rows:,} masks of {n_images:,} images of cluster {cluster}", markup=False
    )


def flag(
    workspace: Workspace,
    cluster: Cluster,
    note: Annotated[str | None, typer.Option(help="Why; always shown as text.")] = None,
) -> None:
    """Flag a cluster: it shall be dealt with."""
    from curation.failures import clusters

    with open_lake(workspace) as lake:
        status = clusters.flag(lake, cluster, by=who(), note=note)
    words = "flagged" if status == "flagged" else "is in re-annotation already: its history has the note"
    messages.print(f"cluster {cluster} {words}", markup=False)


def _print(rows: pa.Table, output_format: Format, out: Path | None) -> None:
    if output_format is Format.table and out is None:
        rows = rows.select(_SHOWN)
    elif output_format is not Format.parquet:
        rows = rows.drop_columns("centroid")
    print_table(rows, output_format, out)


def _told(told: dict) -> list[str]:
    """What was searched and how, a line a fact."""
    scope = "the newest run of each image" if told["run"] is None else f"run {told['run']}"
    where = f" where {told['where']}" if told["where"] else ""
    return [
        f"searched: {told['n_masks']:,} masks of {told['n_images']:,} images, {scope}{where}, version {told['snapshot']}, seed {told['seed']}",
        f"bad: {told['bad']}; {told['n_labelled_bad']:,} of {told['n_labelled_masks']:,} labelled masks on {told['n_labelled_images']:,} images, "
        f"estimated share {told['bad_share']:.3f}",
        *(f"design: {words}" for words in told["design"]),
        f"embedding clusters: {told['embeddings']}",
        f"groups: {told['n_examined']:,} looked at on the first half, {told['n_tested']} tested on the other ({told['n_too_few_images']} had "
        f"under {told['least_images']} images there), {told['n_reported']} reported at a false discovery rate of {told['most_false']:g} and a "
        f"difference of {told['least_difference']:g} or more, {told['n_same']} nearly the same as one of these",
    ]


def _lines(row: dict) -> list[Text]:
    def bounds(name: str, form: str) -> str:
        return f"{row[name]:{form}} [{row[f'{name}_low']:{form}}, {row[f'{name}_high']:{form}}]"

    shares = json.loads(row["failure_mode_shares"])
    facts = {
        "kind": row["kind"],
        "rule": row["rule"] or "none: masks near each other in embedding and measures",
        "status": row["status"],
        "size": f"{row['n_masks']:,} masks of {row['n_images']:,} images",
        "share bad": f"{bounds('bad_share', '.3f')}, of all others {row['rest_bad_share']:.3f}",
        "difference": f"{bounds('difference', '.3f')}, q {row['q_value']:.2g}, p {row['p_value']:.2g}",
        "bad masks": f"about {bounds('n_bad', ',.0f')}",
        "tested on": f"{row['n_labelled_masks']:,} labelled masks of it on {row['n_labelled_images']:,} images",
        "failure modes": ", ".join(f"{mode} {share:.2f}" for mode, share in shares.items() if share),
    }
    title = Text(f"Cluster {row['cluster']}: {row['words']}", style="bold")
    return [title, *(Text(f"  {name:14} {value}") for name, value in facts.items())]
