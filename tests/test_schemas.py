import pyarrow as pa
import pytest

from curation import settings
from curation.errors import ContractError
from curation.schemas import TABLES, parse, render_readme

TAG = {"name": "v1", "snapshot_id": 1, "tagged_at": 0}


def test_a_row_that_keeps_the_contract_passes_and_nullable_columns_may_be_left_out():
    table = TABLES["tags"].table([TAG])
    assert table.schema == TABLES["tags"].arrow
    assert table["note"].to_pylist() == [None]


def test_no_rows_make_an_empty_table_with_every_column():
    for schema in TABLES.values():
        assert schema.table([]).schema == schema.arrow


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"snapshot_id": -1}, "least allowed is 0"),
        ({"snapshot_id": None}, "nulls are not allowed"),
        ({"snapshot_id": "many"}, "snapshot_id"),
        ({"colour": "red"}, "unknown column"),
    ],
)
def test_a_broken_row_is_refused_and_the_message_names_the_fault(change, message):
    with pytest.raises(ContractError, match=message):
        TABLES["tags"].table([{**TAG, **change}])


def test_two_rows_with_one_key_are_refused():
    with pytest.raises(ContractError, match="several rows"):
        TABLES["tags"].table([TAG, TAG])


def embedding(**changes):
    return {"run_id": 1, "mask_id": 1, "n_dims": 2, "embedding": b"abcd", **changes}


def test_bounds_lists_words_and_nan_are_checked():
    coverage = {
        "run_id": 1,
        "image_id": 1,
        "n_masks": 0,
        "covered_px": 0,
        "covered_share": 0.0,
        "largest_uncovered_px": 0,
        "largest_uncovered_bbox_xywh": [0, 0, 0, 0],
        "mean_depth": 0.0,
        "crowdedness": 0.0,
    }
    schema = TABLES["image_coverage"]
    schema.table([coverage])
    for change, message in [
        ({"covered_share": 1.5}, "most allowed is 1"),
        ({"covered_share": float("nan")}, "NaN"),
        ({"largest_uncovered_bbox_xywh": [0, 0]}, "must have 4"),
    ]:
        with pytest.raises(ContractError, match=message):
            schema.table([{**coverage, **change}])


def test_a_word_outside_the_allowed_ones_is_refused():
    kind = next(column for column in TABLES["runs"].columns if column.name == "kind")
    assert kind.fault(pa.chunked_array([["import"]])) is None
    assert (
        kind.fault(pa.chunked_array([["import", "dream"]]))
        == "'dream'; allowed: generate, import, retune, gold, correct"
    )


def test_a_table_of_other_types_is_refused():
    table = TABLES["mask_embeddings"].table([embedding()])
    wrong = table.set_column(1, "mask_id", table["mask_id"].cast(pa.int32()))
    with pytest.raises(ContractError, match="type is int32; it must be int64"):
        TABLES["mask_embeddings"].check(wrong)


def test_a_contract_whose_key_is_no_column_is_refused():
    text = (
        "{name: t, version: 1, about: a, grain: g, key: [b], partition_by: [], sort_by: [], "
        "columns: {a: {type: int8, about: x}}}"
    )
    with pytest.raises(ContractError, match="'b' is named"):
        parse(text)


def test_the_page_of_the_tables_is_current():
    page = settings.files("data_schemas") / "README.md"
    assert page.read_text() == render_readme(), "run `make pages`"
