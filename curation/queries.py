"""Reports: one SQL file each in `queries/`, with a header that declares its parameters and columns."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from curation import settings
from curation.errors import QueryError
from curation.lake import Lake
from curation.schemas import SAFE_LOADER

HEADER = re.compile(r"\A\s*/\*(?P<yaml>.*?)\*/(?P<sql>.*)\Z", re.DOTALL)
PARAMETER = re.compile(r"\$([a-zA-Z_]\w*)")
NO_DEFAULT = object()


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str
    about: str
    default: Any = NO_DEFAULT

    def value(self, given: Mapping[str, Any]) -> Any:
        value = given.get(self.name, self.default)
        if value is NO_DEFAULT:
            raise QueryError(
                f"parameter {self.name} ({self.type}: {self.about}) is missing and has no default"
            )
        return value


@dataclass(frozen=True)
class OutputColumn:
    name: str
    type: str
    about: str


@dataclass(frozen=True)
class Query:
    """One report. `sql` selects exactly `columns`, in this order."""

    name: str
    title: str
    about: str
    grain: str
    params: tuple[Parameter, ...]
    columns: tuple[OutputColumn, ...]
    sql: str

    def run(self, lake: Lake, **given: Any) -> pa.Table:
        """Rows of the report; no rows on an empty lake.

        Strings are turned into the parameter's type. Raises QueryError on an unknown, missing or
        unfitting parameter, on the number of a run that is not there, and where the columns are not the
        declared ones.
        """
        unknown = sorted(set(given) - {p.name for p in self.params})
        if unknown:
            allowed = ", ".join(p.name for p in self.params) or "none"
            raise QueryError(
                f"report {self.name}: unknown parameter(s) {', '.join(unknown)}; allowed: {allowed}"
            )
        values = self._values(lake, given)
        self._check_runs(lake, values)
        try:
            rows = lake.query(self.sql, values)
        except duckdb.Error as error:
            raise QueryError(f"report {self.name}: {error}") from error
        self._check_columns(lake)
        return rows

    def columns_read(self, lake: Lake) -> dict[str, set[str]]:
        """The columns that the report reads with its defaults, by table, as DuckDB plans it; views are looked through."""
        values = self._values(lake, {})
        ((_, plan),) = lake.con.execute(f"EXPLAIN (FORMAT json) {self.sql}", values).fetchall()
        found: dict[str, set[str]] = {}
        waiting = json.loads(plan)
        while waiting:
            node = waiting.pop()
            waiting += node["children"]
            if "Table" in node["extra_info"]:
                names = node["extra_info"].get("Projections", [])
                names = [names] if isinstance(names, str) else names
                found.setdefault(node["extra_info"]["Table"], set()).update(names)
        return found

    def _values(self, lake: Lake, given: Mapping[str, Any]) -> dict[str, Any]:
        return {p.name: self._typed(lake, p, p.value(given)) for p in self.params}

    def _typed(self, lake: Lake, parameter: Parameter, value: Any) -> Any:
        try:
            return lake.con.execute(f"SELECT CAST(? AS {parameter.type})", [value]).fetchone()[0]
        except duckdb.Error as error:
            raise QueryError(
                f"report {self.name}: {parameter.name} is {value!r}; it must be {parameter.type}"
            ) from error

    def _check_runs(self, lake: Lake, values: Mapping[str, Any]) -> None:
        """A mistyped run must not look like a run without masks."""
        asked = {
            name: run_id for name, run_id in values.items() if name.endswith("run_id") and run_id is not None
        }
        if not asked:
            return
        kinds = dict(lake.con.execute("SELECT run_id, kind FROM runs ORDER BY run_id").fetchall())
        for name, run_id in asked.items():
            if run_id not in kinds:
                there = ", ".join(f"{known} ({kind})" for known, kind in kinds.items()) or "none"
                raise QueryError(
                    f"report {self.name}: {name} is {run_id}, which is no run; there are: {there}"
                )

    def _check_columns(self, lake: Lake) -> None:
        """Names and types of the statement that ran last."""
        got = [(name, str(kind)) for name, kind, *_ in lake.con.description]
        declared = [(c.name, c.type) for c in self.columns]
        if got != declared:
            wrong = [f"{g} (declared: {d})" for g, d in zip_longest(got, declared) if g != d]
            raise QueryError(f"report {self.name}: its columns are not the declared ones: {'; '.join(wrong)}")


def parse(name: str, text: str) -> Query:
    """A report from its file. Raises QueryError on a bad header and on undeclared or unused parameters."""
    match = HEADER.match(text)
    if not match:
        raise QueryError(f"queries/{name}.sql: it must open with a /* … */ header in YAML")
    try:
        header = yaml.load(match["yaml"], SAFE_LOADER)  # nosec B506  # a safe loader
        params = tuple(Parameter(key, **spec) for key, spec in (header.pop("params", None) or {}).items())
        columns = tuple(OutputColumn(key, **spec) for key, spec in header.pop("columns").items())
        query = Query(name, params=params, columns=columns, sql=match["sql"].strip(), **header)
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise QueryError(
            f"queries/{name}.sql: bad header: {error}; it needs title, about, grain, columns"
        ) from error
    declared, used = {p.name for p in params}, set(PARAMETER.findall(_without_comments(query.sql)))
    if used - declared:
        raise QueryError(
            f"queries/{name}.sql: uses undeclared parameter(s) {', '.join(sorted(used - declared))}"
        )
    if declared - used:
        raise QueryError(
            f"queries/{name}.sql: declares unused parameter(s) {', '.join(sorted(declared - used))}"
        )
    if not re.search(r"\bORDER\s+BY\b", query.sql, re.IGNORECASE):
        raise QueryError(f"queries/{name}.sql: rows need an explicit ORDER BY that ends in a key")
    return query


def load(folder: Path | None = None) -> dict[str, Query]:
    """Every report by name, in the order of the files."""
    return {name: parse(name, path.read_text()) for name, path in _paths(folder).items()}


def get(name: str) -> Query:
    """One report, whatever the other files hold. Raises QueryError that lists the names there are."""
    paths = _paths()
    if name not in paths:
        raise QueryError(f"no report {name!r}; there are: {', '.join(paths)}")
    return parse(name, paths[name].read_text())


def render_readme() -> str:
    """The page `queries/README.md`: every report with its parameters and columns."""
    lines = ["# Reports", "", "Generated from the SQL files beside this page by `make pages`.", ""]
    for query in load().values():
        lines += [
            f"## `{query.name}`: {query.title}",
            "",
            query.about.strip(),
            "",
            f"Grain: {query.grain}.",
            "",
        ]
        lines += [f"```\n{_call(query)}\n```", ""]
        if query.params:
            lines += ["| parameter | type | default | about |", "| --- | --- | --- | --- |"]
            lines += [
                f"| `{p.name}` | {p.type} | {_default(p)} | {_cell(p.about)} |" for p in query.params
            ] + [""]
        lines += ["| column | type | about |", "| --- | --- | --- |"]
        lines += [f"| `{c.name}` | {c.type} | {_cell(c.about)} |" for c in query.columns] + [""]
    return "\n".join(lines)


def _paths(folder: Path | None = None) -> dict[str, Path]:
    return {path.stem: path for path in sorted((folder or settings.files("queries")).glob("*.sql"))}


def _call(query: Query) -> str:
    required = [f" --param {p.name}=…" for p in query.params if p.default is NO_DEFAULT]
    return f"curation query {query.name}{''.join(required)}"


def _default(parameter: Parameter) -> str:
    if parameter.default is NO_DEFAULT:
        return "required"
    return "null" if parameter.default is None else f"`{parameter.default}`"


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|").replace("\n", " ")


def _without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", "", sql, flags=re.DOTALL)
