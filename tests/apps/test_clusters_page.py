"""Failure clusters in the Failures view without a browser: what is shown, what is done, and who may."""

import shutil
from pathlib import Path

import clustered
import pytest
import served
import test_views_pages
from test_views_pages import said, table

from apps.review import clusters, gallery
from curation.failures import clusters as kept
from curation.lake import Lake

#: The fixture that opens a view as a person with a role.
opened = test_views_pages.opened


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch):
    """What is drawn is tested with the gallery; two pictures a page are enough here."""
    monkeypatch.setattr(gallery, "PICTURES_A_PAGE", 2)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    return clustered.fill(tmp_path_factory.mktemp("clustered") / "workspace")


@pytest.fixture
def copied(filled, tmp_path):
    """A copy that a test may write to."""
    return Path(shutil.copytree(filled, tmp_path / "copied"))


def choose(page, cluster: int):
    return page.radio(key="clusters_chosen").set_value(cluster).run()


def press(page, label: str):
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception
    return page


def plain(words: str) -> str:
    """Words without what keeps them from being Markdown or from breaking."""
    return words.replace("\\", "").replace("\N{NO-BREAK SPACE}", " ")


def field(page, label: str):
    return next(one for one in (*page.text_input, *page.number_input) if one.label == label)


# -- shown ---------------------------------------------------------------------------------------


def test_clusters_come_first_ranked_by_bad_masks_with_their_figures(opened, filled):
    page = opened(filled, "failures")
    assert page.button_group(key="failures_by").options[0] == "Clusters"
    radio = page.radio(key="clusters_chosen")
    assert [option.split(" ")[0] for option in radio.options] == ["2", "1", "3", "4"]
    first = radio.proto.captions[0].replace("\N{NO-BREAK SPACE}", " ").replace("\\", "")
    assert "about 9 (0–3) bad masks · 50 % (10–90 %) bad · q 0.010 · 12 masks of 4 images" in first


def test_a_cluster_shows_what_is_known_its_history_and_its_pictures(opened, filled):
    page = choose(opened(filled, "failures"), 1)
    words = said(page).replace("\\", "").replace("\N{NO-BREAK SPACE}", " ")
    assert "40 points" in words
    assert "from 2 labelled masks on 2 images" in words
    assert "Gold: all 40 masks of 8 images with gold" in words
    assert "Found last by search 1" in words
    assert [one.value for one in page.code] == ["area_px < 2000"]
    assert table(page, "status", "note")["status"].tolist() == ["found"]
    assert len(page.get("image")) == 2
    assert "Found last by" not in said(choose(page, 3))


def test_the_map_has_points_of_the_chosen_search_and_tells_them_in_words(opened, filled):
    page = opened(filled, "failures")
    (drawn,) = page.get("vega_lite_chart")
    words = drawn.proto.alt.replace("\N{NO-BREAK SPACE}", " ")
    assert "Map of 20 masks" in words
    assert "cluster 3 around" in words
    assert "cluster 1 " not in words  # another search, another map
    assert '"shape": {' in drawn.proto.spec  # told apart without colours too


def test_the_map_takes_the_same_few_points_of_each_cluster(filled, monkeypatch):
    monkeypatch.setattr(clusters, "MOST_POINTS", 8)
    with Lake.open(filled, read_only=True) as lake:
        found = clusters.points(lake, 1)
        assert found == clusters.points(lake, 1)
    assert [point["cluster"] for point in found] == [1] * 4 + [2] * 4


def test_words_of_a_search_are_never_markup(opened, filled):
    page = choose(opened(filled, "failures"), 1)
    assert clustered.HOSTILE not in said(page)
    assert all(clustered.HOSTILE not in option for option in page.radio(key="clusters_chosen").options)
    assert not any(one.proto.allow_html for one in (*page.markdown, *page.caption))


def test_without_clusters_the_page_says_which_command_finds_some(opened, tmp_path):
    page = opened(served.make_workspace(tmp_path / "workspace"), "failures")
    page.button_group(key="failures_by").set_value("Clusters").run()
    assert "curation failures find" in said(page)


def test_an_analyst_sees_clusters_and_no_buttons(opened, filled):
    page = opened(filled, "failures", role="analyst")
    assert page.radio(key="clusters_chosen").options
    assert not page.button
    assert not page.text_input


# -- done ----------------------------------------------------------------------------------------


def test_a_cluster_is_flagged_drawn_from_and_sent_back(opened, copied):
    page = opened(copied, "failures")
    field(page, "Note").set_value("night pictures")
    press(page, "Flag")
    assert page.success[0].value == "Cluster 2 is flagged."
    shown = table(page, "status", "note")
    assert shown[["status", "by", "note"]].to_numpy().tolist()[-1] == ["flagged", "Ann", "night pictures"]
    assert "flagged" in page.radio(key="clusters_chosen").options[0]
    assert field(page, "Note").value == ""

    field(page, "Masks").set_value(6)
    press(page, "Draw")
    assert "6 masks of 3 images drawn as cluster-2" in plain(page.success[0].value)
    assert field(page, "Name of the sample").value == "cluster-2-2"

    field(page, "Annotators").set_value("ann, bob")
    press(page, "Open the batch")
    words = plain(page.success[0].value)
    assert "Batch mend-2: 12 masks of 4 images" in words
    assert "for ann, bob" in words
    shown = table(page, "status", "note")
    assert shown["status"].tolist() == ["found", "flagged", "in re-annotation"]
    assert shown["batch"].tolist()[-1] == "mend-2"

    with Lake.open(copied, read_only=True) as lake:
        drawn = lake.query("SELECT * FROM samples WHERE sample = 'cluster-2'").to_pylist()
        members = set(kept.members(lake, 2)["mask_id"].to_pylist())
        (batch,) = lake.query("SELECT * FROM batches").to_pylist()
    assert {row["mask_id"] for row in drawn} < members
    known = {(row["design"], row["inclusion_probability"], row["drawn_by"]) for row in drawn}
    assert known == {("srs", 0.5, "Ann")}
    assert (batch["cluster"], batch["annotators"], batch["opened_by"]) == (2, ["ann", "bob"], "Ann")


def test_what_cannot_be_done_is_told_and_writes_nothing(opened, filled):
    page = opened(filled, "failures")
    with Lake.open(filled, read_only=True) as lake:
        version = lake.version()
    for label, button, value, message in (
        ("Name of the sample", "Draw", "first", "is there already"),
        ("Name of the batch", "Open the batch", "no name", "start with a letter"),
        ("Annotators", "Open the batch", "ann,,bob", "name each once"),
    ):
        before = field(page, label).value
        field(page, label).set_value(value)
        press(page, button)
        assert message in plain(page.error[0].value)
        assert not page.success
        field(page, label).set_value(before)
    with Lake.open(filled, read_only=True) as lake:
        assert lake.version() == version


def test_masks_corrected_since_the_search_are_neither_drawn_nor_sent(opened, filled):
    page = choose(opened(filled, "failures"), 4)
    assert "All of its masks have been corrected since" in said(page)
    press(page, "Open the batch")
    assert "all 4 masks are corrected already" in plain(page.error[0].value)
