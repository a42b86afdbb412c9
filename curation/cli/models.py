"""models list, models fetch: weights and where they lie."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import pyarrow as pa
import typer

from curation.cli.options import Format, Out, OutputFormat
from curation.cli.output import messages, print_table
from curation.cli.progress import progress
from curation.errors import InputError
from curation.generation.download import OnProgress
from curation.generation.models import MODELS, fetch_model


def register(app: typer.Typer) -> None:
    models = typer.Typer(no_args_is_help=True, help="Models that generate masks.")
    models.command("list")(list_models)
    models.command()(fetch)
    app.add_typer(models, name="models")


def list_models(output_format: OutputFormat = Format.table, out: Out = None) -> None:
    """Models by name, and whether their weights are here."""
    rows = [
        {
            "name": model.name,
            "about": model.about,
            "backend": {"sam": "torch", "onnx": "onnxruntime"}[model.backend],
            "size_mb": model.size_mb,
            "is_there": model.is_there,
            "folder": str(model.folder),
        }
        for model in MODELS.values()
    ]
    print_table(pa.Table.from_pylist(rows), output_format, out)


def fetch(names: Annotated[list[str], typer.Argument(help="Models of `models list`.")]) -> None:
    """Fetch weights, going on from where an earlier fetch stopped, and check their SHA-256."""
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise InputError(f"model {', '.join(unknown)}: not known; allowed are {', '.join(MODELS)}")
    for name in names:
        with download_progress(name) as on_progress:
            paths = fetch_model(MODELS[name], on_progress, on_note=messages.print)
        for path in paths:
            messages.print(f"{path}: there, SHA-256 as published")


@contextmanager
def download_progress(about: str) -> Iterator[OnProgress]:
    """A progress line in MB that appears with the first bytes, and not at all where nothing is fetched."""
    with ExitStack() as stack:
        bar, shown_mb = None, 0.0

        def on_progress(n_bytes: int, total_bytes: int | None) -> None:
            nonlocal bar, shown_mb
            if bar is None:
                total_mb = None if total_bytes is None else round(total_bytes / 1e6)
                bar = stack.enter_context(progress(total_mb, unit="MB", about=about))
            bar.advance(n_bytes / 1e6 - shown_mb)
            shown_mb = n_bytes / 1e6

        yield on_progress
