"""The command line: one file a group of commands; each parses, makes one call and prints."""

import importlib
import sys
from typing import Annotated

import typer

from curation import __version__
from curation.errors import CurationError


def _version(is_asked: bool) -> None:
    if is_asked:
        print(f"curation {__version__}")
        raise typer.Exit


#: Command groups, in the order of `curation --help`.
GROUPS = (
    "lake",
    "maintain",
    "workspace",
    "doctor",
    "backup",
    "models",
    "generate",
    "imports",
    "export",
    "scenes",
    "measure",
    "gold",
    "retune",
    "sample",
    "review",
    "batch",
    "diff",
    "verifier",
    "failures",
    "route",
    "mine",
    "queries",
    "train",
    "stage",
    "cycle",
    "check",
    "release",
    "browse",
    "sheet",
    "report",
    "review_app",
    "demo",
)

app = typer.Typer(
    help="Quality control and curation of SA-1B-style mask datasets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in GROUPS:
    importlib.import_module(f"curation.cli.{group}").register(app)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """What every command takes."""


def main() -> None:
    """Run the command line. Ends with 0, with 1 when inputs could not be used, with 2 on an error."""
    try:
        app()
    except CurationError as error:
        print(f"curation: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(
            "curation: stopped; what is committed stays, the same command goes on from there", file=sys.stderr
        )
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; say nothing, and let Python not complain either.
        sys.stderr.close()
        sys.exit(0)
