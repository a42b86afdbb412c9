"""verifier: models that learn from verdicts and gold which masks are good."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from curation.cli.options import (
    Address,
    At,
    EngineChoice,
    EngineName,
    Format,
    Out,
    OutputFormat,
    Workers,
    Workspace,
    open_lake,
    who,
)
from curation.cli.output import console, messages, print_table
from curation.cli.progress import progress, shard_progress
from curation.shards import Engine
from curation.whole_files import write_whole

if TYPE_CHECKING:
    from curation.verifier.card import Card
    from curation.verifier.learning import Learned

Name = Annotated[str, typer.Argument(help="Name of the verifier.")]


def register(app: typer.Typer) -> None:
    verifier = typer.Typer(
        no_args_is_help=True, help="Models that learn from verdicts and gold which masks are good."
    )
    for command in (fit, score, card):
        verifier.command()(command)
    verifier.command("list")(list_)
    app.add_typer(verifier, name="verifier")


def fit(
    workspace: Workspace,
    name: Name,
    run: Annotated[
        int | None,
        typer.Option("--run", help="Learn from masks of this run; else of the newest run of each image."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            help="Only from masks that meet this SQL condition, such as \"label_source = 'verdict'\"."
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="gradient_boosting, or a method that a package brings (entry points curation.verifiers)."
        ),
    ] = "gradient_boosting",
    seed: Annotated[int, typer.Option(min=0, help="The same seed learns the same.")] = 0,
) -> None:
    """Learn from verdicts and gold which masks are good, and keep held-out scores of what was learned from."""
    from curation.sampling.frame import Scope
    from curation.verifier import crossfit, learning

    request = learning.Request(name, Scope(run, where), method, seed, who())
    with (
        open_lake(workspace) as lake,
        progress(crossfit.n_fits(), unit="fits", about=f"verifier {name}") as bar,
    ):
        learned = learning.fit(lake, request, on_fit=bar.advance)
    for line in _told(name, learned):
        messages.print(line, markup=False)
    messages.print(f"Next: curation verifier card {name}; curation verifier score {name}", style="dim")


def score(
    workspace: Workspace,
    name: Name,
    run: Annotated[
        int | None, typer.Option("--run", help="Number of the run; all runs that made masks without it.")
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Score again what is scored: masks that were measured since.")
    ] = False,
    workers: Workers = None,
    engine: EngineChoice = EngineName.local,
    address: Address = None,
) -> None:
    """Score every mask: the chance that it is good. Run again, it resumes; what people drew is not scored."""
    from curation.measures.schedule import measurable_runs
    from curation.verifier import scoring

    with open_lake(workspace) as lake:
        for run_id in measurable_runs(lake) if run is None else [run]:
            todo = scoring.shards_to_score(lake, name, run_id)
            if anew:
                messages.print(f"run {run_id}: {scoring.forget(lake, name, run_id):,} scores dropped")
                todo = scoring.shards_to_score(lake, name, run_id)
            for group in scoring.unknown(lake, name, run_id) if todo else []:
                messages.print(f"run {run_id} has none of what {name} learned from: {group}", style="yellow")
            with shard_progress(todo, f"run {run_id}: score") as advance:
                summary = scoring.score(lake, name, todo, workers, advance, Engine(engine.value, address))
            told = (
                f"{summary.n_masks:,} masks of {summary.n_images:,} images scored"
                if todo
                else "nothing new to score"
            )
            messages.print(f"run {run_id}: {told}", markup=False)


def list_(workspace: Workspace, output_format: OutputFormat = Format.table, out: Out = None) -> None:
    """List the verifiers, what they learned from, and how many masks they scored."""
    from curation.verifier import stored

    with open_lake(workspace, read_only=True) as lake:
        rows = stored.summaries(lake)
    columns = [
        "verifier",
        "method",
        "n_masks",
        "n_images",
        "n_bad",
        "cycle",
        "n_scored",
        "fitted_by",
        "fitted_at",
    ]
    print_table(rows.select(columns) if output_format is Format.table else rows, output_format, out)


def card(
    workspace: Workspace,
    name: Name,
    run: Annotated[int | None, typer.Option("--run", help="Only masks of this run; else of all.")] = None,
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Write it as .html or .md; other endings take the rows of --format."
        ),
    ] = None,
) -> None:
    """How good a verifier is: on images that it never learned from, beside people and single scores, with intervals."""
    from curation.verifier.card import card as of_verifier

    with open_lake(workspace, at, read_only=True) as lake:
        found = of_verifier(lake, name, run)
    kind = out.suffix.lower() if out else ""
    if kind in (".html", ".md"):
        from curation.report import verifier_card

        text = verifier_card.page(found) if kind == ".html" else verifier_card.markdown(found)
        write_whole(out, text.encode())
        messages.print(f"{out} written", markup=False)
    elif output_format is not Format.table or out is not None:
        print_table(found.rows, output_format, out)
    else:
        for part in _shown(found):
            console.print(part, markup=False)


def _shown(found: "Card") -> Iterator[Table | Text]:
    """The card for a terminal."""
    from curation.report import verifier_card

    yield Text(verifier_card.title(found), style="bold")
    for fact in verifier_card.facts(found):
        yield Text(f"  {fact}")
    for part in verifier_card.tables(found):
        table = Table(
            box=SIMPLE,
            title=part.title,
            title_justify="left",
            caption=part.note or None,
            caption_justify="left",
        )
        for k, name in enumerate(part.titles):
            table.add_column(name, justify="right" if k else "left", overflow="fold")
        for row in part.rows:
            table.add_row(*(Text(cell) for cell in row))
        yield table
    for note in found.notes:
        yield Text(note, style="yellow")


def _told(name: str, learned: "Learned") -> Iterator[str]:
    """What a fit had to learn from, and what it had not."""
    sources = ", ".join(f"{n:,} by {source}" for source, n in learned.n_of_source.items())
    yield (
        f"verifier {name}: learned from {learned.n_masks:,} masks of {learned.n_images:,} images, {learned.n_bad:,} of them bad "
        f"({sources})"
    )
    lacking = [f"{group} for {share:.0%}" for group, share in learned.missing.items() if share > 0]
    if lacking:
        yield f"not known of these masks: {', '.join(lacking)} of them"
