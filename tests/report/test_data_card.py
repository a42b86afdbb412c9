"""The data card says what is known, and that the rest is not."""

from datetime import datetime, timezone
from pathlib import Path

import pytest
from test_queries import rows_of

from curation.engine.checks import Verdict
from curation.engine.releases import Draft, Request
from curation.formats import sa1b_export
from curation.lake import Lake
from curation.report.data_card import card
from tests.engine.gold_lake import write_run

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)


def told(lake: Lake, verdicts: list[Verdict] | None = None, **request) -> str:
    exported = tuple(sa1b_export.newest_runs(lake))
    return card(
        lake, Draft(Request("v1", **request), Path("none"), "v1", lake.version(), exported, 60, verdicts)
    )


def test_an_empty_lake_gives_a_card_that_says_so(lake):
    text = told(lake)
    for words in ("No finished run", "**Gold:** none", "**Samples:** none", "is unknown", "None were asked for", "None are known"):  # fmt: skip
        assert words in text


@pytest.fixture
def known(lake):
    """A run with gold, one cluster found and one fixed, a trained model, a routing and a problem."""
    write_run(lake, {k: [0.9, 0.8, 0.3] for k in range(20)}, model="tuned", weights_sha256="ab12")
    group = {"words": "small, | touches the border", "n_masks": 12, "bad_share": 0.4, "bad_share_low": 0.2,
             "bad_share_high": 0.6, "n_bad": 5.0, "n_bad_low": 2.0, "n_bad_high": 8.0, "q_value": 0.003}  # fmt: skip
    clusters = [{**group, "search_id": search, "cluster": 1} for search in (1, 2)]
    clusters.append({**group, "search_id": 2, "cluster": 2, "words": "already mended"})
    events = [{"cluster": 2, "status": "fixed", "at_utc": NOW}]
    model = {"model": "tuned", "base_model": "sam2-tiny", "masks_from": ["corrected"], "n_train_masks": 70,
             "n_train_images": 9, "took_s": 90.0, "trained_at": NOW}  # fmt: skip
    routing = {"routing": "r", "method": "bound", "score": "predicted_iou", "max_bad": 0.02, "confidence": 0.95, "routed_at": NOW}  # fmt: skip
    tables = {
        "clusters": clusters,
        "cluster_events": events,
        "trained_models": [model],
        "routings": [routing],
    }
    tables["problems"] = [{"run_id": 1, "work": "import"}]
    lake.append({name: rows_of(name, rows) for name, rows in tables.items()}, "known")
    return lake


def test_the_card_says_how_it_was_made_judged_and_where_it_fails(known):
    text = told(known)
    assert "| 1 | import | fully automatic, cycle 0 | tuned |" in text
    assert "weights SHA-256 `ab12`" in text
    assert "Trained on this lake's masks (corrected) from `sam2-tiny`" in text
    assert "| 2 | ann | drawn from scratch | 20 | 60 |" in text
    assert "at most 2.0\N{NO-BREAK SPACE}% bad among the accepted" in text
    (line,) = [line for line in text.splitlines() if "touches the border" in line]
    assert r"small, \| touches the border" in line
    assert line.endswith("5 (2–8) | 0.003 |")
    assert "already mended" not in text
    assert "1\N{NO-BREAK SPACE}input could not be used" in text


def test_every_figure_has_an_interval_and_a_design(known):
    lines = told(known).split("## Figures")[1].split("## Checks")[0].splitlines()
    figures = [line for line in lines if line.startswith("| run")]
    assert len(figures) >= 6
    for line in figures:
        *_, estimate, behind, design = line.removesuffix(" |").split(" | ")
        assert "(" in estimate
        assert "mask" in behind
        assert "image as cluster" in design


def test_a_release_in_spite_of_its_checks_says_so(known):
    failed = Verdict("recall: lower bound at least 0.9", "run 1", 0.5, 0.4, 0.6, 0.9, 20, "failed", "too low")
    text = told(known, [failed], even_if_failing=True)
    assert "released although not all checks were passed" in text
    assert "- failed: recall: lower bound at least 0.9, run 1: 0.5, 0.4 to 0.6 (too low)" in text


def test_what_people_typed_is_no_markup(lake):
    assert r"\<script\> \*bold\* \[a\](b) x" in told(lake, note="<script>\n*bold* [a](b)  x")
