"""Every report answers its example in tests/queries/<name>.yaml, an empty lake, and one image, without reading big columns.

An example is `params`, `given` (rows of tables; columns that do not matter are filled) and `expect` (all rows; each
shows the columns that matter). One file may hold several, divided by `---`.
"""

from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from curation import queries
from curation.lake import Lake, insert
from curation.schemas import TABLES, Column

EXAMPLES = Path(__file__).parent / "queries"
REPORTS = queries.load()
FILLING = {"bool": False, "string": "", "binary": b"", "timestamp[us, UTC]": 0}


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    with Lake.create(tmp_path_factory.mktemp("reports") / "workspace") as lake:
        yield lake


@pytest.fixture
def holding(empty):
    """Puts an example's rows into the lake until the test ends."""
    empty.con.execute("BEGIN")
    yield lambda given: insert(empty.con, {name: rows_of(name, rows) for name, rows in (given or {}).items()})
    empty.con.execute("ROLLBACK")


def rows_of(table: str, rows: list[dict]) -> pa.Table:
    filled = {c.name: filling(c) for c in TABLES[table].columns if not c.nullable}
    return TABLES[table].table([{**filled, **row} for row in rows])


def filling(column: Column) -> object:
    if column.values:
        return column.values[0]
    if column.type.startswith("list"):
        return [0] * (column.length or 0)
    return FILLING.get(column.type, column.min or 0)


def examples() -> list:
    return [
        pytest.param(REPORTS[path.stem], example, id=f"{path.stem}-{number}")
        for path in sorted(EXAMPLES.glob("*.yaml"))
        for number, example in enumerate(yaml.safe_load_all(path.read_text()))
    ]


@pytest.mark.parametrize(("report", "example"), examples())
def test_the_report_answers_its_example(empty, holding, report, example):
    holding(example["given"])
    found = report.run(empty, **(example.get("params") or {})).to_pylist()
    shown = [{name: row[name] for name in want} for row, want in zip(found, example["expect"], strict=False)]
    assert shown == [approximately(want) for want in example["expect"]]
    assert len(found) == len(example["expect"])


def approximately(row: dict) -> dict:
    return {name: pytest.approx(v, abs=5e-5) if isinstance(v, float) else v for name, v in row.items()}


@pytest.mark.parametrize("name", REPORTS)
def test_every_column_of_the_report_is_shown_in_its_example(name):
    path = EXAMPLES / f"{name}.yaml"
    assert path.exists(), f"write {path}: params, given, expect"
    shown = {
        column
        for example in yaml.safe_load_all(path.read_text())
        for row in example["expect"]
        for column in row
    }
    assert shown == {column.name for column in REPORTS[name].columns}


@pytest.fixture(scope="module")
def one_image(tmp_path_factory):
    """A lake with one row in every table: a run, its one image with one mask, and a gold run."""
    row = {"run_id": 1, "image_id": 10, "mask_id": 1, "stage": "fully_automatic", "cycle": 0}
    shown = {
        "relative_size": 0.1,
        "concavity": 0.2,
        "center_xy": [0.5, 0.5],
        "predicted_iou": 0.9,
        "gold_iou": 0.8,
    }
    tables = {}
    for name, schema in TABLES.items():
        values = {**row, **shown, "gold_run_id": 2, "other_mask_id": 2, "n_masks": 1, "settings": '{"a": 1}'}
        tables[name] = rows_of(name, [{c.name: values[c.name] for c in schema.columns if c.name in values}])
    told = {"settings": "{}", "versions": "{}"}
    made = {"run_id": 1, "kind": "generate", "stage": "fully_automatic", "cycle": 0}
    gold = {"run_id": 2, "kind": "gold", **told}
    tables["runs"] = rows_of("runs", [{**made, **told}, gold])
    with Lake.create(tmp_path_factory.mktemp("one") / "workspace") as lake:
        lake.append(tables, "one image")
        yield lake


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_an_empty_lake_is_answered_without_rows(empty, report):
    assert report.run(empty).num_rows == 0


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_one_image_is_answered_without_bounds(one_image, report):
    """Nothing shows how images differ."""
    for row in report.run(one_image).to_pylist():
        bounds = {name: value for name, value in row.items() if name.endswith(("low", "high"))}
        assert set(bounds.values()) <= {None}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_no_report_reads_masks_or_embeddings(one_image, report):
    read = report.columns_read(one_image)
    assert read
    assert not {name for names in read.values() for name in names} & {"rle_counts", "embedding"}


def test_what_a_view_reads_is_seen(one_image):
    header = "/*\ntitle: A\nabout: B\ngrain: one mask\ncolumns:\n  n: {type: BIGINT, about: length}\n*/\n"
    sql = "SELECT length(rle_counts) AS n FROM current_masks ORDER BY n"
    assert "rle_counts" in queries.parse("a", header + sql).columns_read(one_image)["masks"]
