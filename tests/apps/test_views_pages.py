"""The plain views without a browser: on an empty workspace, and on one that has everything."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import viewed

from apps.review import data
from curation import queries
from curation.lake import Lake
from curation.review import queue as review_queue

testing = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed")
VIEWS = ("sql", "stage", "queue", "raters", "failures")


def script(view: str, role: str, rater: str) -> None:
    import importlib

    from apps.review.access import Person

    importlib.import_module(f"apps.review.views.{view}").show(Person(rater, role))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    return viewed.fill(tmp_path_factory.mktemp("viewed") / "workspace")


@pytest.fixture
def copied(filled, tmp_path):
    """A copy that a test may write to."""
    return Path(shutil.copytree(filled, tmp_path / "copied"))


@pytest.fixture
def empty(tmp_path):
    Lake.create(tmp_path / "workspace").close()
    return tmp_path / "workspace"


@pytest.fixture
def opened(monkeypatch):
    """Opens a view on a workspace as a person with a role."""

    def open_view(root, view: str, role: str = "curator", rater: str = "Ann"):
        monkeypatch.setenv("CURATION_WORKSPACE", str(root))
        page = testing.AppTest.from_function(
            script, default_timeout=60, kwargs={"view": view, "role": role, "rater": rater}
        ).run()
        assert not page.exception, page.exception
        return page

    yield open_view
    data.close_idle()  # connections for writing, of this test's workspace


def said(page) -> str:
    """All words of a page outside tables."""
    kinds = ("title", "subheader", "markdown", "caption", "info", "text", "success", "warning", "error")
    return "\n".join(str(one.value) for kind in kinds for one in getattr(page, kind))


def table(page, *columns: str):
    """The table that has these columns."""
    return next(one.value for one in page.dataframe if set(columns) <= set(one.value.columns))


@pytest.mark.parametrize(
    ("view", "what_to_do"),
    [
        ("stage", "curation generate"),
        ("queue", "curation sample draw"),
        ("raters", "Review"),
        ("failures", "curation generate"),
    ],
)
def test_an_empty_workspace_says_what_to_do(opened, empty, view, what_to_do):
    assert what_to_do in said(opened(empty, view))


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_takes_words_of_people_for_html_or_markdown(opened, filled, view):
    page = opened(filled, view)
    assert viewed.HOSTILE not in "\n".join(one.value for one in page.markdown)
    assert not any(one.proto.allow_html for one in (*page.markdown, *page.caption))


# -- SQL -----------------------------------------------------------------------------------------


def test_a_report_runs_with_its_parameters(opened, filled):
    page = opened(filled, "sql")
    page.selectbox(key="sql_report").select("border_masks").run()
    assert [one.label for one in page.selectbox][2:3] == ["run_id"]
    page.selectbox(key="border_masks.run_id").set_value(1)
    page.button[0].click().run()
    assert set(table(page, "touches", "mask_share")["run_id"]) == {1}
    assert "8 rows" in said(page)


def test_a_list_goes_into_a_report_and_a_bad_one_is_told(opened, filled):
    page = opened(filled, "sql")
    page.selectbox(key="sql_report").select("near_duplicates").run()
    page.text_input(key="near_duplicates.iou_thresholds").set_value("0.5")
    page.button[0].click().run()
    assert set(table(page, "iou_threshold")["iou_threshold"]) == {0.5}
    page.text_input(key="near_duplicates.iou_thresholds").set_value("a half")
    page.button[0].click().run()
    assert "must be DOUBLE[]" in page.error[0].value


def test_every_report_has_its_controls(opened, filled):
    page = opened(filled, "sql")
    for name, query in queries.load().items():
        page.selectbox(key="sql_report").select(name).run()
        assert not page.exception, name
        kinds = ("selectbox", "number_input", "text_input", "checkbox")
        controls = {one.key for kind in kinds for one in getattr(page, kind)}
        assert {f"{name}.{parameter.name}" for parameter in query.params} <= controls


def test_the_past_is_asked_by_its_tag(opened, filled):
    page = opened(filled, "sql")
    page.selectbox(key="sql_at").select("judged").run()
    page.button[0].click().run()
    assert not page.error
    assert page.dataframe


def test_the_prompt_answers_reads_no_file_and_says_why(opened, filled, tmp_path):
    page = opened(filled, "sql")
    page.text_area(key="sql_text").set_value("SELECT count(*) AS n_masks FROM masks")
    page.button[1].click().run()
    assert table(page, "n_masks")["n_masks"].tolist() == [40]
    page.text_area(key="sql_text").set_value("SELECT * FROM read_csv('/etc/passwd')")
    page.button[1].click().run()
    assert "read_csv" in page.error[0].value
    assert not [one for one in page.dataframe if "n_masks" in one.value.columns]


def test_ids_are_shown_whole_and_taken_home_as_numbers():
    from apps.review import tables

    rows = pa.table({"mask_id": [2**62 + 1], "n": [3], "why": [["a", "b"]]})
    assert tables.readable(rows)["mask_id"].to_pylist() == [str(2**62 + 1)]
    assert tables.readable(rows)["n"].to_pylist() == [3]
    assert pq.read_table(pa.BufferReader(tables.as_parquet(rows))).equals(rows)
    assert str(2**62 + 1) in tables.as_csv(rows).decode()


def test_equal_names_of_columns_become_distinct():
    from apps.review import tables

    rows = pa.table([[1], [2], [3], [4]], names=["a", "a_2", "a", "b"])
    assert tables.distinct(rows).column_names == ["a", "a_2", "a_3", "b"]


# -- stage ---------------------------------------------------------------------------------------


def test_a_run_under_way_tells_how_far_it_is(opened, filled):
    page = opened(filled, "stage")
    words = said(page)
    assert "run 3 · generate · sam2-tiny" in words
    told = {one.label: one.value for one in page.metric}
    assert told["Images an hour"] not in ("–", "0")
    assert "s" in told["Time left (95 %)"] or "min" in told["Time left (95 %)"]


def test_a_review_under_way_tells_how_far_it_is(opened, copied):
    with Lake.open(copied) as lake:
        review_queue.next_tasks(lake, "Ann", "worst", 5)
    page = opened(copied, "stage")
    assert "review of sample worst" in said(page)
    assert {one.label: one.value for one in page.metric}["Raters at work"] == "1"


def test_the_estimate_and_its_rule_of_stopping_are_shown(opened, filled):
    page = opened(filled, "stage")
    assert "masks with a verdict" not in [one.value for one in page.info]
    assert "valid however often one looks" in said(page)
    assert "good as it is" in table(page, "figure", "share")["figure"].tolist()
    assert "worst" not in page.selectbox(key="stage_sample").options


# -- queue ---------------------------------------------------------------------------------------


def test_the_queue_shows_samples_and_raters(opened, filled):
    page = opened(filled, "queue")
    rows = table(page, "sample", "time_left").set_index("sample")
    assert rows.loc["first", "drawn"] == 40
    assert rows.loc["worst", "judged"] == 0
    page.selectbox(key="queue_sample").select("first").run()
    assert set(table(page, "rater", "verdicts_per_hour")["rater"]) == {"Ann", viewed.HOSTILE}


def test_a_sample_is_drawn_from_the_queue(opened, copied):
    with Lake.open(copied) as lake:
        then = lake.tag("then")
    page = opened(copied, "queue")
    page.selectbox(key="draw_design").select("stratified").run()
    page.text_input(key="draw_name").set_value("new")
    page.number_input(key="draw_size").set_value(10)
    page.selectbox(key="draw_allocation").select("neyman")
    page.text_input(key="draw_risk").set_value("area_px")
    page.selectbox(key="draw_at").select("then")
    page.button[0].click().run()
    assert not page.error
    assert "10 masks" in page.success[0].value.replace("\N{NO-BREAK SPACE}", " ")
    with Lake.open(copied, read_only=True) as lake:
        rows = lake.query(
            "SELECT design, drawn_by, snapshot_id FROM samples WHERE sample = 'new'"
        ).to_pylist()
    assert rows == [{"design": "stratified", "drawn_by": "Ann", "snapshot_id": then}] * 10
    page.button[0].click().run()
    assert "is there already" in page.error[0].value


# -- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["Error against gold", "Reviewers' reasons", "IoU with gold"])
def test_failures_have_groups_with_pictures_and_ids(opened, filled, by):
    page = opened(filled, "failures")
    page.button_group(key="failures_by").set_value([by]).run()
    assert not page.exception
    assert len(page.code) == 1
    ids = [int(line) for line in page.code[0].value.splitlines()]
    assert ids
    assert len(page.get("image")) == len(ids)


def test_without_gold_the_view_says_how_to_bring_some(opened, tmp_path):
    page = opened(viewed.served.make_workspace(tmp_path / "workspace"), "failures")
    assert "curation gold import" in said(page)


def test_a_group_is_drawn_as_a_sample_on_purpose(opened, copied):
    page = opened(copied, "failures")
    page.button[-1].click().run()
    assert not page.error
    with Lake.open(copied, read_only=True) as lake:
        newest = lake.query(
            "SELECT * FROM samples WHERE drawn_at = (SELECT max(drawn_at) FROM samples)"
        ).to_pylist()
    assert {(row["design"], row["drawn_by"]) for row in newest} == {("purposive", "Ann")}
    shown = {int(line) for line in page.code[0].value.splitlines()}
    assert shown <= {row["mask_id"] for row in newest}


def test_a_rater_sees_the_own_row_only(opened, filled):
    page = opened(filled, "raters", role="rater", rater="Ann")
    assert [one.value["rater"].tolist() for one in page.dataframe] == [["Ann"]]
    assert "Only you and the curators" in said(page)
    assert "no verdict" in said(opened(filled, "raters", role="analyst", rater="Zoe"))


def test_a_curator_sees_all_raters_and_how_they_agree(opened, filled):
    page = opened(filled, "raters")
    assert table(page, "rater", "accepts")["rater"].tolist() == sorted([viewed.HOSTILE, "Ann"])
    agreed = table(page, "figure", "raters")
    assert {"Cohen's kappa", "Krippendorff's alpha"} <= set(agreed["figure"])
    assert set(table(page, "reason", "other_reason")["reason"]) == {"missed_part", "poor_edge"}


def test_an_analyst_draws_nothing(opened, filled):
    assert not opened(filled, "failures", role="analyst").button
