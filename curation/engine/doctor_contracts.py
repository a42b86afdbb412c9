"""Stored rows against the contracts of data_schemas/: types of columns, nulls, allowed values and bounds, keys."""

from collections.abc import Callable, Iterator

from curation.engine.doctor_finding import Finding
from curation.lake import Lake
from curation.schemas import SQL_TYPES, TABLES, Column, TableSchema
from curation.storage import quote

#: Read by the pass over all masks, and too large to be read twice.
_LARGE = ("rle_counts", "embedding")


def examine(lake: Lake, advance: Callable[[int], None]) -> Iterator[Finding]:
    """One scan of each table for all its columns, and one grouping for its key."""
    for schema in TABLES.values():
        yield from _types(lake, schema)
        if lake.con.execute(f'SELECT 1 FROM "{schema.name}" LIMIT 1').fetchone():
            yield from _values(lake, schema)
            yield from _key(lake, schema)
        advance(1)


def _types(lake: Lake, schema: TableSchema) -> Iterator[Finding]:
    rows = lake.con.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = 'lake' AND table_name = ?",
        [schema.name],
    ).fetchall()
    held = dict(rows)
    for column in schema.columns:
        is_type, wanted = held.get(column.name), SQL_TYPES[column.type]
        if is_type is not None and is_type != wanted:
            yield Finding(
                "contract",
                schema.name,
                1,
                f"column {column.name} is of type {is_type}; its contract says {wanted}",
                remedy="this lake was changed by another tool, or its contract by another curation: use that one",
            )


def _values(lake: Lake, schema: TableSchema) -> Iterator[Finding]:
    faults = [
        (column, what, sql) for column in schema.columns for what, sql in _faults(column) if sql is not None
    ]
    counts = ", ".join(f"count(*) FILTER ({sql})" for _, _, sql in faults)
    if not faults:
        return
    for (column, what, sql), n in zip(
        faults, lake.con.execute(f'SELECT {counts} FROM "{schema.name}"').fetchone(), strict=True
    ):
        if n:
            yield Finding(
                "contract",
                schema.name,
                n,
                f"{column.name} {what}, such as {_example(lake, schema, column, sql)}",
                remedy="mend the source and import or generate again; a release must not hold these rows",
            )


def _faults(column: Column) -> Iterator[tuple[str, str | None]]:
    """What can be wrong with a value, in words and in SQL."""
    name = f'"{column.name}"'
    if column.name in _LARGE:
        return
    if not column.nullable:
        yield "is null, which is not allowed", f"{name} IS NULL"
    if column.values is not None:
        allowed = ", ".join(column.values)
        yield f"is none of {allowed}", f"{name} NOT IN ({', '.join(map(quote, column.values))})"
    if column.length is not None:
        yield f"is a list of another length than {column.length}", f"len({name}) <> {column.length}"
    if column.type in ("float", "double"):
        yield "is NaN; null is for what is not known", f"isnan({name})"
    if column.min is not None:
        yield f"is less than {column.min}", f"{name} < {column.min}"
    if column.max is not None:  # NaN is larger than any number in SQL
        is_number = f" AND NOT isnan({name})" if column.type in ("float", "double") else ""
        yield f"is more than {column.max}", f"{name} > {column.max}{is_number}"


def _example(lake: Lake, schema: TableSchema, column: Column, sql: str) -> str:
    shown = ", ".join(f'"{name}"' for name in dict.fromkeys((*schema.key, column.name)))
    rows = lake.query(f'SELECT {shown} FROM "{schema.name}" WHERE {sql} LIMIT 1').to_pylist()
    return _told(rows[0])


def _key(lake: Lake, schema: TableSchema) -> Iterator[Finding]:
    key = ", ".join(f'"{name}"' for name in schema.key)
    doubled = lake.query(
        f'SELECT {key}, count(*) AS n_rows, count(*) OVER () AS n FROM "{schema.name}" GROUP BY {key} '
        "HAVING count(*) > 1 ORDER BY ALL LIMIT 1"
    ).to_pylist()
    if doubled:
        n, n_rows = doubled[0].pop("n"), doubled[0].pop("n_rows")
        yield Finding(
            "contract",
            schema.name,
            n,
            f"a key stands in several rows, such as {_told(doubled[0])} in {n_rows}",
            remedy="the lake was written past curation, or a commit was doubled: go back to a version before it "
            "(`curation snapshots`), or to a backup",
        )


def _told(row: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items())
