"""What the documents say is true: commands, options, extras, pictures and generated pages exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from curation import queries, schemas
from curation.cli import app
from curation.settings import files

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = typer.main.get_command(app)
CONTEXT = typer.Context(COMMANDS)


def code(text: str) -> Iterator[str]:
    """Lines of the fenced blocks, continued lines joined, and every `inline` piece."""
    blocks = re.findall(r"^```(?:bash|sh|console)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for block in blocks:
        yield from block.replace("\\\n", " ").splitlines()
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", outside)


def typed(program: str) -> list[str]:
    """What README.md tells people to type after `program`."""
    lines = (re.sub(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*", "", line.strip()) for line in code(README))
    return sorted({line for line in lines if re.match(rf"{program} [a-z]", line)})


def resolve(words: list[str]) -> tuple[TyperCommand, list[str]]:
    """The command that the words call, and the words left for it."""
    command, rest = COMMANDS, words
    while isinstance(command, TyperGroup) and rest:
        called = command.get_command(CONTEXT, rest[0])
        assert called is not None, f"there is no command `{rest[0]}` among {sorted(command.commands)}"
        command, rest = called, rest[1:]
    return command, rest


def leaves(command: TyperCommand, path: str = "curation") -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for name in command.list_commands(CONTEXT):
            yield from leaves(command.get_command(CONTEXT, name), f"{path} {name}")
    else:
        yield path, command


@pytest.mark.parametrize("line", typed("curation"))
def test_command_in_readme_exists(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command, rest = resolve([word for word in words if word not in {"…", "..."}])
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    given = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
    assert given <= known | {"--help", "-h"}


@pytest.mark.parametrize("line", typed("make"))
def test_target_in_readme_exists(line: str) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert line.split()[1] in targets


def test_extras_in_readme_exist() -> None:
    table = re.search(
        r"^\[project.optional-dependencies\]\n(.*?)^\[project",
        (ROOT / "pyproject.toml").read_text(),
        re.S | re.M,
    )
    known = set(re.findall(r"^([a-z0-9]+) = \[", table[1], re.MULTILINE))
    named = {extra for group in re.findall(r"curation\[([a-z0-9,]+)\]", README) for extra in group.split(",")}
    assert named
    assert named <= known


def test_links_in_readme_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", README) + re.findall(r'(?:src|href)="([^"#]+)"', README)
    missing = [name for name in targets if not name.startswith("http") and not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize(("path", "command"), list(leaves(COMMANDS)))
def test_command_explains_itself(path: str, command: TyperCommand) -> None:
    assert command.help, f"{path} has no docstring"
    silent = [
        parameter.name
        for parameter in command.params
        if isinstance(parameter, TyperOption) and not parameter.help
    ]
    assert silent == [], f"options of {path} without help"


@pytest.mark.parametrize(
    ("folder", "render"), [("data_schemas", schemas.render_readme), ("queries", queries.render_readme)]
)
def test_generated_page_is_current(folder: str, render) -> None:
    page = files(folder) / "README.md"
    assert page.exists()
    assert page.read_text() == render(), "run `make pages`"
