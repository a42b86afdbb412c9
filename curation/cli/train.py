"""train: a SAM's mask decoder fine-tuned on the masks of a workspace."""

from contextlib import ExitStack
from typing import Annotated

import typer

from curation.cli.options import Workspace, open_lake
from curation.cli.output import console, messages
from curation.cli.progress import Bar, progress
from curation.errors import InputError
from curation.training.request import MASKS_FROM, Moment, OnMoment, Request, Trained
from curation.training.training import train as train_model

_DEFAULT = Request("default")
_UNITS = {"embed": "images", "train": "steps"}


def register(app: typer.Typer) -> None:
    app.command()(train)


def train(
    name: Annotated[str, typer.Argument(help="Name of the trained model; `generate --model NAME` takes it.")],
    workspace: Workspace,
    model: Annotated[
        str, typer.Option(help="What to start from: a name of `models list`, a trained model, or a path.")
    ] = _DEFAULT.model,
    masks_from: Annotated[
        str, typer.Option("--from", help=f"Masks to learn from: {', '.join(MASKS_FROM)}, or some of these.")
    ] = ",".join(MASKS_FROM),
    run: Annotated[
        int | None,
        typer.Option("--run", help="Masks of this run, their corrections, and gold on its images."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(help='SQL condition on accepted and corrected masks, such as "area_px < 400".'),
    ] = None,
    gold: Annotated[
        list[int] | None, typer.Option("--gold", help="Gold run; repeatable. All without it.")
    ] = None,
    routing: Annotated[
        str | None,
        typer.Option(
            help="Masks that this routing accepts count as accepted, unless people turned them down."
        ),
    ] = None,
    held_out_share: Annotated[
        float,
        typer.Option(min=0, max=0.9, help="Share of the images, 0..1, that judge and are never trained on."),
    ] = _DEFAULT.held_out_share,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps at most. The default is 200.")] = None,
    epochs: Annotated[
        float | None, typer.Option(min=0.01, help="Passes over the masks, instead of steps.")
    ] = None,
    learning_rate: Annotated[
        float, typer.Option(help="Highest learning rate of Adam.")
    ] = _DEFAULT.learning_rate,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = _DEFAULT.seed,
    device: Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:<n>.")] = _DEFAULT.device,
    cache_gb: Annotated[float, typer.Option(help="Disk for cached embeddings, in GB.")] = _DEFAULT.cache_gb,
) -> None:
    """Fine-tune a model on accepted, corrected and gold masks. Run again, it goes on where it stopped."""
    if steps is not None and epochs is not None:
        raise InputError("--steps and --epochs: give one of the two")
    request = Request(
        name,
        model,
        tuple(masks_from.split(",")),
        run,
        where,
        tuple(gold) if gold else None,
        routing,
        held_out_share=held_out_share,
        n_steps=steps or _DEFAULT.n_steps,
        n_epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
        cache_gb=cache_gb,
    )
    with open_lake(workspace) as lake, ExitStack() as stack:
        trained = train_model(lake, request, _shown(stack, name), messages.print)
    _tell(trained)


def _shown(stack: ExitStack, name: str) -> OnMoment:
    """A progress line for each phase, which comes with its first moment."""
    bars: dict[str, tuple[Bar, list[int]]] = {}

    def on_moment(moment: Moment) -> None:
        if moment.phase not in bars:
            stack.close()  # the line of the phase before
            about = f"{moment.phase} {name}"
            bar = stack.enter_context(progress(moment.total, unit=_UNITS[moment.phase], about=about))
            bars[moment.phase] = (bar, [0])
        bar, shown = bars[moment.phase]
        bar.advance(moment.done - shown[0], moment.note)
        shown[0] = moment.done

    return on_moment


def _tell(trained: Trained) -> None:
    kept = "is there already" if trained.is_resumed else f"is in {trained.path}"
    messages.print(
        f"{trained.model} {kept}: {trained.n_train_masks} masks of {trained.n_train_images} images,"
    )
    if trained.iou_before is not None:
        console.print(
            f"held-out IoU {trained.iou_before:.3f} before, {trained.iou_after:.3f} after {trained.n_steps} steps "
            f"(best of three masks for one point a mask, {trained.n_held_out_images} images never trained on)"
        )
    if trained.n_steps == 0:
        messages.print("No step made it better: the weights are those of the base model.", style="yellow")
    messages.print(f"Next: curation generate IMAGES --model {trained.model}", style="dim")
