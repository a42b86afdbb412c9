"""Tables are readable on a terminal of any width, and lose no value."""

import pyarrow as pa
import pytest
from rich.console import Console

from curation.cli.tables import fitted

ROWS = pa.table(
    {
        "step": [1, 2, 3],
        "fate": ["predicted_iou", "stability", "kept"],
        "candidate_share": [0.625, 0.25, 0.125],
        "design": ["every candidate of the run; images as clusters"] * 3,
        "n_images": [20] * 3,
    }
)


def shown(rows: pa.Table, width: int) -> list[str]:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        for piece in fitted(rows, width):
            console.print(piece)
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_and_no_value_is_lost(width):
    lines = shown(ROWS, width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for value in ("predicted_iou", "stability", "kept", "0.625", "0.25", "0.125", "candidate_share"):
        assert value in text


def test_a_wide_terminal_gets_one_plain_table():
    assert len(shown(ROWS, 200)) == 3 + len(ROWS) + 1


def test_what_is_the_same_in_every_row_is_told_once():
    lines = shown(ROWS, 60)
    assert sum("images as clusters" in line or "clusters" in line for line in lines) == 1


def test_one_wide_row_is_turned():
    rows = pa.table({f"column_{i}": [i * 1000] for i in range(30)})
    lines = shown(rows, 80)
    assert len(lines) == 32
    assert any("column_29" in line and "29000" in line for line in lines)


def test_no_rows_show_the_names():
    assert "candidate_share" in "".join(shown(ROWS.slice(0, 0), 200))
    assert "candidate_share" in " ".join(shown(ROWS.slice(0, 0), 30))


def test_markup_in_values_is_not_read():
    assert any("[red]x" in line for line in shown(pa.table({"a": ["[red]x"]}), 80))


def test_an_interval_stands_beside_its_estimate():
    rows = pa.table(
        {"share": [0.5, None], "share_low": [0.4, None], "share_high": [0.6, None], "low": [1, 2]}
    )
    lines = shown(rows, 80)
    assert any("0.5 [0.4, 0.6]" in line for line in lines)
    assert not any("share_low" in line or "None" in line for line in lines)
    assert any(" low " in line for line in lines)
