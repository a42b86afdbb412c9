"""The contracts of the lake's tables: `data_schemas/*.yaml` as Arrow schemas, DDL, checks and a page."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from curation import settings
from curation.errors import ContractError

ARROW_TYPES = {
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "timestamp[us, UTC]": pa.timestamp("us", "UTC"),
    "list<int32>": pa.list_(pa.int32()),
    "list<double>": pa.list_(pa.float64()),
    "list<string>": pa.list_(pa.string()),
}
SQL_TYPES = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "binary": "BLOB",
    "timestamp[us, UTC]": "TIMESTAMP WITH TIME ZONE",
    "list<int32>": "INTEGER[]",
    "list<double>": "DOUBLE[]",
    "list<string>": "VARCHAR[]",
}


#: The one in C, where it was built: every command reads all contracts when it starts.
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Column:
    """One column: `min` and `max` are inclusive bounds, `values` the only strings allowed."""

    name: str
    type: str
    about: str
    unit: str | None = None
    nullable: bool = False
    min: float | None = None
    max: float | None = None
    values: tuple[str, ...] | None = None
    length: int | None = None

    def __post_init__(self) -> None:
        if self.type not in ARROW_TYPES:
            raise ContractError(
                f"column {self.name}: type is {self.type!r}; allowed: {', '.join(ARROW_TYPES)}"
            )

    def fault(self, values: pa.ChunkedArray) -> str | None:
        """What is wrong with these values, in words; None when nothing is."""
        if not self.nullable and values.null_count:
            return f"{values.null_count} null(s); nulls are not allowed"
        if self.values is not None:
            foreign = pc.filter(
                values, pc.invert(pc.is_in(values, pa.array([*self.values, None], pa.string())))
            )
            if len(foreign):
                return f"{foreign[0].as_py()!r}; allowed: {', '.join(self.values)}"
        if self.length is not None:
            lengths = pc.list_value_length(values)
            if pc.any(pc.not_equal(lengths, self.length)).as_py():
                return f"a list of {pc.min(lengths)} to {pc.max(lengths)} values; it must have {self.length}"
        return self._bounds_fault(values)

    def _bounds_fault(self, values: pa.ChunkedArray) -> str | None:
        if pa.types.is_floating(values.type) and pc.any(pc.is_nan(values)).as_py():
            return "NaN; use null for what is not known"
        if self.min is None and self.max is None:
            return None
        span = pc.min_max(values).as_py()
        low, high = span["min"], span["max"]
        if self.min is not None and low is not None and low < self.min:
            return f"{low}; the least allowed is {self.min}"
        if self.max is not None and high is not None and high > self.max:
            return f"{high}; the most allowed is {self.max}"
        return None


@dataclass(frozen=True)
class TableSchema:
    """The contract of one table. `key` names the columns that no two rows may share."""

    name: str
    version: int
    about: str
    grain: str
    key: tuple[str, ...]
    partition_by: tuple[str, ...]
    sort_by: tuple[str, ...]
    columns: tuple[Column, ...]

    @cached_property
    def arrow(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, ARROW_TYPES[c.type], c.nullable) for c in self.columns])

    @property
    def ddl(self) -> list[str]:
        """Statements that make the table, partition it, and describe it and its columns."""
        columns = ", ".join(
            f'"{c.name}" {SQL_TYPES[c.type]}{"" if c.nullable else " NOT NULL"}' for c in self.columns
        )
        table = f'"{self.name}"'  # quoted: `overlaps` is also a keyword of DuckDB
        statements = [f"CREATE TABLE {table} ({columns})"]
        if self.partition_by:
            statements.append(f"ALTER TABLE {table} SET PARTITIONED BY ({', '.join(self.partition_by)})")
        statements.append(f"COMMENT ON TABLE {table} IS {_quote(f'{self.about} Grain: {self.grain}.')}")
        for column in self.columns:
            about = column.about + (f" [{column.unit}]" if column.unit else "")
            statements.append(f'COMMENT ON COLUMN {table}."{column.name}" IS {_quote(about)}')
        return statements

    def table(self, rows: Sequence[Mapping] | Mapping[str, Sequence]) -> pa.Table:
        """A checked Arrow table from rows or columns; nullable columns may be left out.

        Raises ContractError where a value does not fit or a column is unknown.
        """
        if not isinstance(rows, Mapping):
            names = {name for row in rows for name in row}
            rows = {name: [row.get(name) for row in rows] for name in names}
        unknown = sorted(set(rows) - set(self.arrow.names))
        if unknown:
            raise ContractError(f"{self.name}: unknown column(s) {', '.join(unknown)}")
        n_rows = len(next(iter(rows.values()), ()))
        arrays = []
        for field in self.arrow:
            values = rows.get(field.name)
            try:
                arrays.append(
                    pa.nulls(n_rows, field.type) if values is None else _as_array(values, field.type)
                )
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
                raise ContractError(f"{self.name}.{field.name}: {error}; its type is {field.type}") from error
        return self.check(pa.Table.from_arrays(arrays, schema=self.arrow))

    def check(self, table: pa.Table) -> pa.Table:
        """The same table, when it keeps the contract: columns, types, nulls, bounds, values, key.

        Raises ContractError naming table, column, what came and what is allowed.
        An empty table with the right columns passes.
        """
        if table.schema.names != self.arrow.names:
            raise ContractError(
                f"{self.name}: columns are {table.schema.names}; they must be {self.arrow.names}"
            )
        for column in self.columns:
            values = table[column.name]
            if values.type != ARROW_TYPES[column.type]:
                raise ContractError(
                    f"{self.name}.{column.name}: type is {values.type}; it must be {column.type}"
                )
            fault = column.fault(values)
            if fault:
                raise ContractError(f"{self.name}.{column.name} ({column.about}): {fault}")
        self._check_key(table)
        return table

    def _check_key(self, table: pa.Table) -> None:
        if len(self.key) == 1 and _is_rising(table[self.key[0]]):
            return
        counts = table.select(self.key).group_by(list(self.key)).aggregate([([], "count_all")])
        doubled = counts.filter(pc.greater(counts["count_all"], 1))
        if len(doubled):
            example = {name: doubled[name][0].as_py() for name in self.key}
            raise ContractError(
                f"{self.name}: {len(doubled)} key(s) stand in several rows, such as {example}"
            )


def _is_rising(values: pa.ChunkedArray) -> bool:
    """Whether integers rise from each to the next, as ids do in most tables; then none stands twice."""
    if not pa.types.is_integer(values.type) or values.null_count:
        return False
    numbers = values.to_numpy()
    return bool((numbers[1:] > numbers[:-1]).all())


def _as_array(values: Sequence, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(kind)
    return pa.array(values, kind)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def parse(text: str) -> TableSchema:
    """One table from the YAML of its file. Raises ContractError where the contract itself is wrong."""
    document = yaml.load(text, SAFE_LOADER)  # nosec B506  # a safe loader
    columns = tuple(Column(name, **_tuples(spec)) for name, spec in document.pop("columns").items())
    schema = TableSchema(columns=columns, **_tuples(document))
    for name in (*schema.key, *schema.partition_by, *schema.sort_by):
        if name not in schema.arrow.names:
            raise ContractError(
                f"{schema.name}: {name!r} is named in key, partition_by or sort_by but is no column"
            )
    if not re.fullmatch(r"[a-z][a-z0-9_]*", schema.name):
        raise ContractError(f"table name {schema.name!r}: use lower-case letters, digits and _")
    return schema


def _tuples(mapping: Mapping) -> dict:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in mapping.items()}


def load() -> dict[str, TableSchema]:
    """All tables by name, in the order of the files."""
    schemas = [parse(path.read_text()) for path in sorted(settings.files("data_schemas").glob("*.yaml"))]
    return {schema.name: schema for schema in schemas}


TABLES: Mapping[str, TableSchema] = load()


def render_readme() -> str:
    """The page `data_schemas/README.md`: every table and column in words."""
    lines = [
        "# Tables of the lake",
        "",
        "Generated from the YAML files beside this page by `make pages`.",
        "",
    ]
    for schema in TABLES.values():
        lines += [f"## `{schema.name}`", "", schema.about, "", f"- Grain: {schema.grain}"]
        lines += [f"- Key: {', '.join(f'`{name}`' for name in schema.key)}"]
        if schema.partition_by:
            lines += [f"- Partitioned by: {', '.join(f'`{name}`' for name in schema.partition_by)}"]
        lines += [
            "",
            "| column | type | unit | null | allowed | about |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [_readme_row(column) for column in schema.columns]
        lines += [""]
    return "\n".join(lines)


def _readme_row(column: Column) -> str:
    if column.values:
        allowed = ", ".join(f"`{value}`" for value in column.values)
    elif column.min is not None or column.max is not None:
        low = "" if column.min is None else column.min
        high = "" if column.max is None else column.max
        allowed = f"{low}..{high}"
    else:
        allowed = ""
    about = column.about.replace("|", "\\|")
    null = "yes" if column.nullable else ""
    return f"| `{column.name}` | {column.type} | {column.unit or ''} | {null} | {allowed} | {about} |"
