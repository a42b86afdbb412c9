"""The command line: one file a group of commands; each parses, makes one call and prints."""

import importlib
import logging
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from curation import __version__, events
from curation.errors import CurationError


def _version(is_asked: bool) -> None:
    if is_asked:
        print(f"curation {__version__}")
        raise typer.Exit


#: Module -> the commands that it registers, in the order of `curation --help`.
MODULES = {
    "lake": ("init", "snapshots", "tag", "sql"),
    "maintain": ("maintain",),
    "workspace": ("workspace",),
    "doctor": ("doctor",),
    "backup": ("backup", "restore"),
    "models": ("models",),
    "generate": ("generate",),
    "imports": ("import",),
    "export": ("export",),
    "scenes": ("scenes", "photographs"),
    "measure": ("measure",),
    "gold": ("gold",),
    "retune": ("retune",),
    "sample": ("sample",),
    "review": ("review",),
    "batch": ("batch",),
    "diff": ("diff",),
    "verifier": ("verifier",),
    "failures": ("failures",),
    "route": ("route",),
    "mine": ("mine",),
    "queries": ("query", "queries"),
    "train": ("train",),
    "stage": ("stage",),
    "cycle": ("cycle",),
    "check": ("check",),
    "release": ("release", "verify-release"),
    "browse": ("browse",),
    "sheet": ("sheet",),
    "report": ("report",),
    "review_app": ("app",),
    "demo": ("demo",),
}
MODULE_OF = {command: module for module, commands in MODULES.items() for command in commands}


class Commands(TyperGroup):
    """The commands by name. Only the module of the one that was asked for is imported: all take over a second."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = dict.fromkeys(MODULE_OF)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self.commands.get(cmd_name) is None and cmd_name in MODULE_OF:
            self.commands |= registered(MODULE_OF[cmd_name])
        return self.commands.get(cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(MODULE_OF)


def registered(module: str) -> dict[str, Any]:
    """The commands of one module of this package, by name."""
    part = typer.Typer()
    importlib.import_module(f"curation.cli.{module}").register(part)
    return dict(get_group(part).commands)


app = typer.Typer(
    cls=Commands,
    help="Quality control and curation of SA-1B-style mask datasets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", is_eager=True, callback=_version)
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Show each event (shard, commit, wait) as a line on stderr."),
    ] = False,
) -> None:
    """What every command takes."""
    events.append_to_file_of_environment()
    if verbose:
        from curation.cli.output import messages  # that draws the progress, so that lines come above the bar

        events.show(lambda line: messages.print(line, markup=False, highlight=False, soft_wrap=True))
    events.record("command_started", command=context.invoked_subcommand)


def main() -> None:
    """Run the command line. Ends with 0, with 1 when inputs could not be used, with 2 on an error."""
    try:
        app()
    except CurationError as error:
        events.record("command_failed", logging.ERROR, error=error)
        print(f"curation: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        events.record("command_stopped")
        print(
            "curation: stopped; what is committed stays, the same command goes on from there", file=sys.stderr
        )
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; say nothing, and let Python not complain either.
        sys.stderr.close()
        sys.exit(0)
