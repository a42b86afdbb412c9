"""models list, models fetch: weights and where they lie."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from curation.cli.options import Format, Out, OutputFormat, open_lake
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


def list_models(
    workspace: Annotated[
        Path | None,
        typer.Option("--workspace", "-w", help="List the models too that were trained in this workspace."),
    ] = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
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
    if workspace is not None:
        with open_lake(workspace, read_only=True) as lake:
            trained = lake.query("FROM trained_models ORDER BY trained_at, model").to_pylist()
            rows += [_trained(row, lake.root / row["path"]) for row in trained]
    print_table(pa.Table.from_pylist(rows), output_format, out)


def _trained(row: dict, folder: Path) -> dict:
    weights = [path for path in folder.glob("*") if path.suffix in (".pth", ".onnx", ".ort")]
    gain = (
        ""
        if row["iou_before"] is None
        else f"; held-out IoU {row['iou_before']:.3f} before, {row['iou_after']:.3f} after"
    )
    return {
        "name": row["model"],
        "about": f"{row['base_model']} trained on {row['n_train_masks']:,} masks{gain}",
        "backend": "torch" if any(path.suffix == ".pth" for path in weights) else "onnxruntime",
        "size_mb": round(sum(path.stat().st_size for path in weights) / 1e6),
        "is_there": bool(weights),
        "folder": str(folder),
    }


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
