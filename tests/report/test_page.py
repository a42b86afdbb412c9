"""The report page holds everything inside, says every figure with its interval, and trusts no data."""

import re
import sys
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise

import pytest
import reported
from typer.testing import CliRunner

from curation import queries
from curation.cli import app
from curation.errors import MissingExtraError, QueryError
from curation.gold import agreement
from curation.lake import Lake
from curation.report.page import write_report
from curation.report.page.facts import Facts, Request, choose
from curation.report.page.sections import SECTIONS
from curation.report.page.words import interval, share

#: Tags that have no end.
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Elements as (tag, attributes), the visible text, and whether every tag is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.elements, self.texts, self.open = html, [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def charts(self) -> set[str]:
        return {attrs["id"].removeprefix("chart-") for attrs in self.all("figure")}

    def all(self, *tags: str) -> list[dict]:
        return [attrs for tag, attrs in self.elements if tag in tags]


def invoke(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def page(written):
    return Page(written.read_text())


def empty_page(lake, folder) -> Page:
    out = folder / "report.html"
    write_report(lake, out)
    return Page(out.read_text())


def test_nothing_is_fetched(page):
    assert page.all("script", "link", "iframe", "object", "embed", "base") == []
    assert all(attrs["src"].startswith("data:image/jpeg;base64,") for attrs in page.all("img"))
    links = [attrs["href"] for attrs in page.all("a") if not attrs["href"].startswith("#")]
    assert links
    assert all(link.startswith("https://") for link in links)
    outside_links = re.sub(r'href="https://[^"]*"', "", page.html)
    assert not re.search(r"https?://|url\((?!#)|@import", outside_links)


def test_every_section_shows_something_or_says_why_not(page):
    ids = [attrs.get("id") for attrs in page.all("section")]
    assert ids == ["summary", *(section.key for section in SECTIONS)]
    assert page.html.count('class="missing"') == 1  # imports have no ledger; all else has rows here
    assert "has no ledger of candidates" in page.text


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.key)
def test_a_section_names_the_reports_that_it_reads(workspace, section, monkeypatch):
    read = set()
    rows = Facts.rows
    monkeypatch.setattr(
        Facts, "rows", lambda self, name, **given: read.add(name) or rows(self, name, **given)
    )
    with Lake.open(workspace, read_only=True) as lake:
        section.blocks(Facts(lake, choose(lake, Request(n_worst=1))))
    assert read == set(section.reports)


def test_a_link_leads_to_every_section(page):
    targets = {attrs["href"][1:] for attrs in page.all("a") if attrs["href"].startswith("#")}
    assert targets <= {attrs.get("id") for _, attrs in page.elements}
    assert {section.key for section in SECTIONS} <= targets


@pytest.mark.parametrize(
    ("report", "name"),
    [
        ("gold_agreement", "estimate"),
        ("gold_agreement_by_slice", "over_75"),
        ("error_kinds", "share"),
        ("overlaps", "mask_share"),
        ("border_masks", "mask_share"),
        ("near_duplicates", "extra_share"),
        ("nesting", "mask_share"),
        ("crowdedness", "image_share"),
    ],
)
def test_figures_stand_with_their_interval(page, workspace, report, name):
    with Lake.open(workspace, read_only=True) as lake:
        given = {
            p.name: {"run_id": 2, "gold_run_id": 3}[p.name]
            for p in queries.get(report).params
            if "run_id" in p.name
        }
        rows = queries.get(report).run(lake, **given).to_pylist()
    if report == "gold_agreement":
        rows = [row for row in rows if row["figure"] in ("best_iou_over", "precision", "recall")]
    if report == "border_masks":
        rows = [row for row in rows if "borders" not in row["touches"]]
    if report == "gold_agreement_by_slice":
        parts = Counter(row["slice_by"] for row in rows)
        rows = [row for row in rows if parts[row["slice_by"]] > 1]
    assert rows
    low, high = ("low", "high") if name == "estimate" else (f"{name}_low", f"{name}_high")
    for row in rows:
        assert share(row[name], row[low], row[high]).replace("\N{NO-BREAK SPACE}", " ") in page.text


def test_figures_have_the_bootstrap_beside_the_formula(page, workspace):
    with Lake.open(workspace, read_only=True) as lake:
        rows = agreement.rows(agreement.agreement(lake, "run", 2, 3)).to_pylist()
    rows = [row for row in rows if row["figure"] != "error_kind"]
    assert page.html.count(">AR at ") == sum(row["figure"] == "average_recall" for row in rows) == 4
    recall = next(row for row in rows if (row["figure"], row["iou_threshold"]) == ("recall", 0.5))
    for low, high in ((recall["low"], recall["high"]), (recall["design_low"], recall["design_high"])):
        assert interval(low, high) in page.text
    assert "holds better" in page.text  # four images are few


def test_people_s_verdicts_are_shown_with_their_sample(page, workspace):
    with Lake.open(workspace, read_only=True) as lake:
        rows = queries.get("quality_estimate").run(lake).to_pylist()
    (accept,) = [row for row in rows if row["figure"] == "accept"]
    shown = share(accept["estimate"], accept["images_low"], accept["images_high"])
    assert f"accept as it is {shown}".replace("\N{NO-BREAK SPACE}", " ") in page.html.replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert accept["design"].partition("; unit")[0] in page.text


def test_a_chart_says_what_it_rests_on(page):
    notes = re.findall(r"<figcaption>(.*?)</figcaption>", page.html, re.DOTALL)
    assert len(notes) == len(page.all("figure")) > 15
    assert all(re.search(r"cluster|independent|groups of images", note) for note in notes)
    assert all(re.search(r"\d", note) for note in notes)


def test_what_cannot_be_seen_is_said(page):
    assert page.all("html") == [{"lang": "en"}]
    assert all(attrs.get("alt") for attrs in page.all("img"))
    charts = [attrs for _, attrs in page.elements if attrs.get("class") == "chart"]
    assert charts
    assert all(attrs["role"] == "img" and len(attrs["aria-label"]) > 20 for attrs in charts)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_ids_are_used_once(page):
    ids = Counter(attrs["id"] for _, attrs in page.elements if "id" in attrs)
    assert max(ids.values()) == 1


def test_what_comes_from_data_is_no_html(page):
    assert not any("onerror" in attrs for _, attrs in page.elements)
    assert all(
        "alert(" not in value
        for _, attrs in page.elements
        for key, value in attrs.items()
        if key.startswith("on")
    )
    assert reported.HOSTILE in page.text  # a source, told as it is
    assert reported.HOSTILE_ANNOTATOR in page.text
    assert reported.HOSTILE_FRAME in page.text
    assert reported.HOSTILE not in page.html
    assert reported.HOSTILE_FRAME not in page.html
    assert reported.HOSTILE_ANNOTATOR not in page.html


def test_worst_examples_are_pictures_with_numbers_and_a_command(page):
    assert len(page.all("img")) == 5
    assert page.html.count("<dt>IoU with gold</dt>") == 5
    assert 'curation browse sync --where "mask_id = ' in page.text


def test_charts_are_saved_as_png_and_svg(written, page):
    names = {path.stem for path in (written.parent / "charts").iterdir()}
    assert names == page.charts
    kinds = Counter(path.suffix for path in (written.parent / "charts").iterdir())
    assert kinds == {".png": len(names), ".svg": len(names)}
    assert all(path.stat().st_size > 1_000 for path in (written.parent / "charts").iterdir())


def test_a_page_is_small(written):
    assert written.stat().st_size < 1_500_000


def test_an_empty_workspace_gives_a_page_that_says_so(lake, tmp_path):
    page = empty_page(lake, tmp_path)
    assert "holds no masks yet" in page.text
    assert page.all("figure") == []
    assert page.html.count('class="missing"') == sum(bool(section.missing) for section in SECTIONS)
    assert "No gold is matched with this run" in page.text


def test_without_gold_and_measures_the_rest_is_there(lake, tmp_path):
    (tmp_path / "pictures").mkdir()
    for cycle in range(2):
        reported.add_run(lake, tmp_path / "pictures", cycle=cycle)
    page = empty_page(lake, tmp_path)
    assert "no gold is matched with this run" in page.text
    assert "curation measure has not run" in page.text
    assert "gold_agreement" not in page.charts
    assert "masks_per_image" in page.charts
    assert "evolution_masks_per_image" in page.charts
    assert "auto accept rate" in page.text


@pytest.mark.parametrize(("option", "allowed"), [("--run", "there are: 1, 2"), ("--gold", "matched are: 3")])
def test_what_is_not_there_is_refused(workspace, tmp_path, option, allowed):
    ended = invoke("report", "-w", workspace, "-o", tmp_path / "report.html", option, 77)
    assert isinstance(ended.exception, QueryError)
    assert option in str(ended.exception)
    assert allowed in str(ended.exception)
    assert not (tmp_path / "report.html").exists()


@pytest.fixture(scope="module")
def older(workspace, tmp_path_factory):
    """What the command prints for run 1 of a tagged version whose pictures are lost, and its page."""
    with Lake.open(workspace) as lake:
        lake.tag("first", "before more comes")
    pictures = list((workspace.parent / "pictures").iterdir())
    out = tmp_path_factory.mktemp("older") / "report.html"
    for path in pictures:
        path.rename(path.with_suffix(".away"))
    ended = invoke(
        "report", "-w", workspace, "-o", out, "--run", 1, "--gold", 3, "--at", "first", "--n-worst", 2
    )
    for path in pictures:
        path.with_suffix(".away").rename(path)
    return ended, Page(out.read_text())


def test_run_gold_and_version_can_be_chosen(older):
    _, page = older
    assert "run 1 ·" in page.text
    assert "(first)" in page.text


def test_a_picture_that_cannot_be_read_is_told_of(older):
    ended, page = older
    assert ended.exit_code == 1
    assert "2 pictures could not be drawn" in ended.output
    assert "2 pictures could not be read" in page.text.replace("\N{NO-BREAK SPACE}", " ")
    assert page.html.count("picture not readable") == 2
    assert page.all("img") == []


def test_a_missing_extra_says_what_to_install(lake, tmp_path, monkeypatch):
    for package in ("altair", "vl_convert", "jinja2"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(MissingExtraError, match=r"curation\[report\]"):
                write_report(lake, tmp_path / "report.html")
