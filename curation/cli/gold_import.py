"""gold import: trusted masks into the lake, one gold run an annotator."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from curation.cli.imports import Images, Paths, ShardSize, Workers, finish
from curation.cli.options import Workspace, open_lake
from curation.cli.output import end
from curation.errors import InputError
from curation.formats import coco_import, label_png_import, sa1b_import
from curation.formats.mask_import import SHARD_SIZE, GoldOrigin, Import
from curation.lake import Lake

Annotator = Annotated[str | None, typer.Option(help="Who drew the masks.")]
Folders = Annotated[
    bool,
    typer.Option(
        "--annotator-folders", help="Each folder in PATHS holds one annotator's, whose name it bears."
    ),
]
Anchored = Annotated[
    bool,
    typer.Option("--anchored/--from-scratch", help="Corrected from a prediction, or drawn from scratch."),
]
#: Finds the run of some paths and an annotator; the folder is for the plan.
Start = Callable[[Lake, list[str], GoldOrigin, Path], Import]


def register(gold: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Bring trusted masks into the lake.")
    group.command("sa1b")(import_sa1b)
    group.command("coco")(import_coco)
    group.command("label-png")(import_label_png)
    gold.add_typer(group, name="import")


def import_sa1b(
    paths: Paths,
    workspace: Workspace,
    anchored: Anchored,
    annotator: Annotator = None,
    annotator_folders: Folders = False,
    images: Images = None,
    shard_size: ShardSize = SHARD_SIZE,
    workers: Workers = 1,
) -> None:
    """SA-1B records (*.json), as `curation scenes` writes them too. Run again, it resumes."""

    def start(lake: Lake, own: list[str], origin: GoldOrigin, folder: Path) -> Import:
        plan = sa1b_import.plan_records(own, images, folder)
        return sa1b_import.start(lake, plan, ", ".join(own), origin, images, shard_size)

    _import_all(workspace, _annotators(paths, annotator, annotator_folders), anchored, start, workers)


def import_coco(
    paths: Paths,
    workspace: Workspace,
    anchored: Anchored,
    annotator: Annotator = None,
    annotator_folders: Folders = False,
    images: Images = None,
    shard_size: ShardSize = SHARD_SIZE,
    workers: Workers = 1,
) -> None:
    """COCO instances: polygons and RLE; the category becomes the label. Run again, it resumes."""

    def start(lake: Lake, own: list[str], origin: GoldOrigin, folder: Path) -> Import:
        plan = coco_import.plan_files(own, images, folder)
        return coco_import.start(lake, plan, ", ".join(own), origin, images, shard_size)

    _import_all(workspace, _annotators(paths, annotator, annotator_folders), anchored, start, workers)


def import_label_png(
    paths: Paths,
    workspace: Workspace,
    anchored: Anchored,
    images: Annotated[
        str, typer.Option(help="Folder, tar or s3:// prefix of the pictures, matched by their stem.")
    ],
    annotator: Annotator = None,
    annotator_folders: Folders = False,
    ignore: Annotated[
        list[int] | None,
        typer.Option(help="Label of pixels that belong to no mask, besides 0; may be repeated."),
    ] = None,
    shard_size: ShardSize = SHARD_SIZE,
    workers: Workers = 1,
) -> None:
    """Label PNGs: one number a pixel, each number a mask, 0 the background. Run again, it resumes."""

    def start(lake: Lake, own: list[str], origin: GoldOrigin, folder: Path) -> Import:
        plan = label_png_import.plan_labels(own, images, folder)
        source = ", ".join(own)
        return label_png_import.start(lake, plan, source, origin, images, ignore or (), shard_size)

    _import_all(workspace, _annotators(paths, annotator, annotator_folders), anchored, start, workers)


def _import_all(
    workspace: Path, annotators: dict[str, list[str]], anchored: bool, start: Start, workers: int
) -> None:
    n_problems = 0
    with open_lake(workspace) as lake:
        for name, own in annotators.items():
            with tempfile.TemporaryDirectory(prefix="curation-") as scratch:
                job = start(lake, own, GoldOrigin(name, anchored), Path(scratch))
                n_problems += finish(lake, job, workers, of=f", gold of {name}")
    end(n_problems)


def _annotators(paths: list[str], annotator: str | None, by_folder: bool) -> dict[str, list[str]]:
    """The paths of each annotator, by name."""
    if bool(annotator) == by_folder:
        raise InputError("say who drew the masks: --annotator NAME, or --annotator-folders (one of the two)")
    if annotator:
        return {annotator: paths}
    found: dict[str, list[str]] = {}
    for path in paths:
        folders = sorted(p for p in Path(path).expanduser().glob("*/") if not p.name.startswith("."))
        if not folders:
            raise InputError(f"{path}: no folder is in it; --annotator-folders wants one an annotator")
        for folder in folders:
            found.setdefault(folder.name, []).append(str(folder))
    return found
