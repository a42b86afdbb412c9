"""init, snapshots, tag, sql: the workspace itself."""

import shlex
import sys
from typing import Annotated

import duckdb
import typer

from curation.cli.options import At, Format, Out, OutputFormat, Workspace, open_lake
from curation.cli.output import console, messages, print_table
from curation.errors import CurationError, QueryError
from curation.events import without_secrets
from curation.lake import Lake


def register(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(snapshots)
    app.command()(tag)
    app.command()(sql)


def init(
    workspace: Annotated[str, typer.Argument(help="Folder to make.")],
    catalog: Annotated[
        str | None, typer.Option(help="sqlite:PATH (default) or postgres://USER@HOST/DATABASE")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder (default: data) or s3://BUCKET/PREFIX")] = None,
) -> None:
    """Make a workspace: a lake with all its tables, empty."""
    with Lake.create(workspace, catalog, data) as lake:
        console.print(
            f"{lake.root} is ready: catalog {lake.catalog.split('@')[-1]}, data {lake.storage.base}",
            soft_wrap=True,
        )
        console.print(f"Next: export CURATION_WORKSPACE={shlex.quote(str(lake.root))}", soft_wrap=True)


def snapshots(workspace: Workspace, output_format: OutputFormat = Format.table, out: Out = None) -> None:
    """List every version of the lake with its time, message and tags."""
    with open_lake(workspace, read_only=True) as lake:
        print_table(lake.snapshots(), output_format, out)


def tag(
    workspace: Workspace,
    name: Annotated[str, typer.Argument(help="Letters, digits, '.', '_' and '-'.")],
    note: Annotated[str | None, typer.Option(help="Why it is named.")] = None,
) -> None:
    """Name the newest version, so that `--at NAME` shows it for ever."""
    with open_lake(workspace) as lake:
        version = lake.tag(name, note)
        console.print(f"{name} names version {version}: add `--at {name}` to any reading command")


def sql(
    workspace: Workspace,
    statement: Annotated[
        str | None, typer.Argument(help="One SQL statement; it can only read the lake.")
    ] = None,
    open_prompt: Annotated[bool, typer.Option("--open", help="Type SQL at a prompt.")] = False,
    at: At = None,
    output_format: OutputFormat = Format.table,
    out: Out = None,
) -> None:
    """Ask the lake in SQL. Reading only: no statement can change the lake."""
    with open_lake(workspace, at, read_only=True) as lake:
        if open_prompt:
            _prompt(lake)
        elif statement is None:
            raise QueryError('nothing to run: curation sql "SELECT …", or curation sql --open')
        else:
            print_table(_rows(lake, statement), output_format, out)


def _rows(lake: Lake, statement: str):
    try:
        return lake.query(statement)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def _prompt(lake: Lake) -> None:
    """Read statements up to `;` until end of file; where no one types, only tell how to attach."""
    console.print("In any DuckDB shell of the same version, these lines attach this lake:", style="dim")
    for line in lake.attach_sql():
        console.print(f"  {without_secrets(line)};", soft_wrap=True, highlight=False, markup=False)
    if not sys.stdin.isatty():
        return
    import readline  # noqa: F401  (gives input() its history and keys)

    messages.print("SQL, ended by ';' — Ctrl-D leaves", style="dim")
    typed = ""
    while True:
        try:
            typed += input("curation> " if not typed else "     ...> ") + "\n"
        except EOFError:
            return
        if typed.rstrip().endswith(";"):
            try:
                print_table(_rows(lake, typed))
            except CurationError as error:
                messages.print(str(error), style="red", markup=False)
            typed = ""
