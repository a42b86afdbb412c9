"""sample: which masks people judge, how many, and what their verdicts say of all masks."""

from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from curation.cli import sample_tables
from curation.cli.options import At, Format, Out, OutputFormat, Workspace, open_lake, who
from curation.cli.output import console, messages, print_table
from curation.errors import InputError

Name = Annotated[str, typer.Argument(help="Name of the sample.")]
_COLUMNS = (
    "over the columns of `masks`, `mask_features`, nesting, appearance and gold (gold_iou, error_kind …), size_band, score_band, "
    "uri, file_name, run_kind, model, preset; an unknown name lists them all"
)


def register(app: typer.Typer) -> None:
    sample = typer.Typer(no_args_is_help=True, help="Masks for people to judge, and estimates from verdicts.")
    for command in (draw, plan, estimate, enough, show):
        sample.command()(command)
    sample.command("list")(list_)
    app.add_typer(sample, name="sample")


def draw(
    workspace: Workspace,
    name: Name,
    design: Annotated[str, typer.Option(help="srs, stratified, pps, two-stage or purposive.")],
    size: Annotated[
        int, typer.Option(min=1, help="Masks to draw (pps: draws, of which some may hit a mask twice).")
    ],
    run: Annotated[
        int | None, typer.Option("--run", help="Masks of this run; else of the newest run of each image.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help=f"Only masks that meet this SQL condition, {_COLUMNS}.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same masks.")] = 0,
    strata: Annotated[
        str | None,
        typer.Option(
            help="stratified: stage, run, size_band, score_band, or any column or SQL expression. Default: stage."
        ),
    ] = None,
    allocation: Annotated[
        str | None,
        typer.Option(
            help="stratified: proportional (default), equal, or neyman (more where verdicts so far, or gold, or --risk, differ more)."
        ),
    ] = None,
    risk: Annotated[
        str | None,
        typer.Option(
            help='SQL expression, larger is worse, such as "1 - predicted_iou": pps, worst, neyman.'
        ),
    ] = None,
    masks_per_image: Annotated[
        int | None, typer.Option(min=1, help="two-stage: masks of each drawn image, at most. Default: 5.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="purposive: worst (by --risk), or diverse (farthest-first over embeddings)."),
    ] = None,
    at: At = None,
) -> None:
    """Draw masks for people to judge, and keep how they were drawn."""
    from curation.sampling import samples
    from curation.sampling.frame import Scope

    request = samples.Request(
        name=name,
        design=design.replace("-", "_"),
        size=size,
        scope=Scope(run, where),
        seed=seed,
        strata=strata,
        allocation=allocation,
        risk=risk,
        masks_per_image=masks_per_image,
        by=by,
        drawn_by=who(),
    )
    with open_lake(workspace) as lake:
        rows = samples.draw(lake, request, at)
    n_images = len(rows["image_id"].unique())
    messages.print(
        f"sample {name}: {rows.num_rows:,} masks of {n_images:,} images, design {design}", markup=False
    )


def list_(workspace: Workspace, output_format: OutputFormat = Format.table, out: Out = None) -> None:
    """List the samples, and how far they are judged."""
    from curation.sampling import samples

    with open_lake(workspace, read_only=True) as lake:
        rows = samples.summaries(lake)
    columns = ["sample", "design", "n_masks", "n_images", "n_strata", "n_judged", "drawn_by", "drawn_at"]
    print_table(rows.select(columns) if output_format is Format.table else rows, output_format, out)


def show(
    workspace: Workspace, name: Name, output_format: OutputFormat = Format.table, out: Out = None
) -> None:
    """Show how a sample was drawn, and its strata."""
    from curation.sampling import samples

    with open_lake(workspace, read_only=True) as lake:
        summary, rows = samples.summaries(lake, name), samples.strata(lake, name)
    if output_format is Format.table and out is None:
        for line in sample_tables.of_summary(summary.to_pylist()[0]):
            console.print(line)
    print_table(rows, output_format, out)


def plan(
    workspace: Workspace,
    half_width: Annotated[
        float | None,
        typer.Option(help="Wanted half-width of the 95 % interval, as a share: 0.02 is 2 points."),
    ] = None,
    bound: Annotated[
        float | None, typer.Option(help="Defect rate to stay under, as a share: 0.01 is 1 %.")
    ] = None,
    bad: Annotated[
        int, typer.Option(min=0, help="With --bound: bad masks that may be among those judged.")
    ] = 0,
    confidence: Annotated[float, typer.Option(help="With --bound.")] = 0.95,
    acceptable: Annotated[
        float | None, typer.Option(help="Acceptance plan: defect rate that must pass (AQL).")
    ] = None,
    limit: Annotated[
        float | None, typer.Option(help="Acceptance plan: defect rate that must fail (LTPD).")
    ] = None,
    producers_risk: Annotated[float, typer.Option(help="Chance to refuse an acceptable lot.")] = 0.05,
    consumers_risk: Annotated[float, typer.Option(help="Chance to accept a lot at the limit.")] = 0.10,
    share: Annotated[
        float | None, typer.Option(help="Expected share; else from verdicts or gold so far, else 0.5.")
    ] = None,
    masks_per_image: Annotated[
        int,
        typer.Option(min=1, help="Masks of each drawn image (two-stage): the design effect grows with it."),
    ] = 1,
    frame: Annotated[
        int | None, typer.Option(min=1, help="Masks there are, for a finite population.")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="Acceptance plan: picture of its curve (.png, .svg, .html).")
    ] = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """How many masks to judge. Without a goal: the usual ones."""
    from curation.sampling import planner

    if (acceptable is None) != (limit is None):
        raise InputError("an acceptance plan needs --acceptable and --limit")
    if chart is not None and acceptable is None:
        raise InputError("--chart draws the curve of an acceptance plan: give --acceptable and --limit")
    with open_lake(workspace, read_only=True) as lake:
        known = planner.so_far(lake)
    if acceptable is not None:
        accepted = planner.acceptance(acceptable, limit, producers_risk, consumers_risk)
        messages.print(sample_tables.of_acceptance(accepted), markup=False)
        if chart is not None:
            from curation.report.acceptance_curve import draw as draw_curve

            draw_curve(accepted, chart)
            messages.print(f"{chart} written", markup=False)
        print_table(accepted.curve().slice(0, None).take(list(range(0, 101, 5))), output_format, out)
        return
    effect, told = _effect(known, masks_per_image)
    expected = share if share is not None else known.share if known else 0.5
    images = masks_per_image if masks_per_image > 1 else None
    is_told = half_width is not None or bound is not None
    widths = ([half_width] if half_width is not None else []) if is_told else (0.05, 0.02, 0.01)
    rates = ([bound] if bound is not None else []) if is_told else (0.01, 0.005, 0.001)
    # A share of 0 or 1 so far would ask for no mask at all.
    expected = min(max(expected, 0.01), 0.99)
    goals = [planner.for_half_width(w, expected, effect, frame, images) for w in widths]
    goals += [planner.for_bound(r, bad, confidence, effect, images) for r in rates]
    messages.print(told, markup=False)
    columns = {
        "goal": [g.goal for g in goals],
        "masks": [g.n_masks for g in goals],
        "images": pa.array([g.n_images for g in goals], pa.int64()),
        "design_effect": [g.design_effect for g in goals],
    }
    print_table(pa.table(columns), output_format, out)


def estimate(
    workspace: Workspace,
    name: Name,
    by: Annotated[str | None, typer.Option(help=f"Part by a column or SQL expression, {_COLUMNS}.")] = None,
    score: Annotated[
        str | None,
        typer.Option(
            help="SQL expression that every mask of the frame has, such as predicted_iou: takes variance away as far as it agrees with the verdicts."
        ),
    ] = None,
    estimator: Annotated[
        str, typer.Option(help="ratio (Hájek), or total (Horvitz-Thompson, Hansen-Hurwitz): no bias, wider.")
    ] = "ratio",
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """What the verdicts on a sample say of all masks that it was drawn from, with intervals and the design."""
    from curation.sampling import estimates

    with open_lake(workspace, at, read_only=True) as lake:
        found = estimates.estimate(lake, name, by, score, estimator)
    if output_format is not Format.table or out is not None:
        print_table(estimates.rows(found), output_format, out)
        return
    for line in sample_tables.of_estimates(found, console.width):
        console.print(line)


def enough(
    workspace: Workspace,
    name: Name,
    figure: Annotated[str, typer.Option(help="accept, reject, fix or reason:NAME.")] = "accept",
    half_width: Annotated[float | None, typer.Option(help="Stop once the share is known to this.")] = None,
    below: Annotated[
        float | None, typer.Option(help="Stop once it is known to be below this, or not.")
    ] = None,
    above: Annotated[
        float | None, typer.Option(help="Stop once it is known to be above this, or not.")
    ] = None,
) -> None:
    """Whether enough is judged. Valid however often it is asked (confidence sequence); ends with 1 while it
    is not.
    """
    from curation.sampling import stopping

    with open_lake(workspace, read_only=True) as lake:
        found = stopping.enough(lake, name, figure, half_width, below, above)
    console.print(sample_tables.of_enough(found, figure), markup=False)
    if not found.is_enough:
        raise typer.Exit(1)


def _effect(known, masks_per_image: int) -> tuple[float, str]:
    """Design effect of two-stage, and where share and effect come from, in words."""
    from curation.sampling import planner

    if known is None:
        if masks_per_image > 1:
            raise InputError(
                "--masks-per-image needs to know how alike masks of one image are, and there are neither verdicts nor gold yet: "
                "plan without it, or judge a pilot of about 100 masks first"
            )
        return (
            1.0,
            "No verdicts and no gold yet: a share of 0.5 is the cautious guess, and each mask counts in full.",
        )
    told = f"So far {known.n_masks:,} masks of {known.n_images:,} images ({known.source}): share accepted {known.share:.3f}"
    if known.correlation is None:
        if masks_per_image > 1:
            raise InputError(
                "--masks-per-image needs images with two judged masks, to see how alike masks of one image are; there are none"
            )
        return 1.0, f"{told}."
    effect = planner.design_effect(known.correlation, masks_per_image)
    return effect, f"{told}, correlation inside images {known.correlation:.3f}."
