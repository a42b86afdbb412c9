"""The gate: it judges bounds, and what it cannot judge it does not let pass."""

import json
import xml.etree.ElementTree as ElementTree

import pytest
from gold_lake import write_run
from lakes import judge
from typer.testing import CliRunner

from curation import queries
from curation.cli import app
from curation.engine import checks
from curation.engine.checks import CANNOT_JUDGE, FAILED, PASSED, Check
from curation.engine.figures import FIGURES, Selection
from curation.errors import InputError
from curation.sampling import samples
from curation.sampling.frame import Scope

#: 40 images of 5 masks; one mask of every fourth image is bad: 10 of 200.
IOUS = {k: [0.95] * 4 + [0.3 if k % 4 == 0 else 0.92] for k in range(40)}


@pytest.fixture
def judged_lake(lake):
    write_run(lake, IOUS)
    return lake


def verdict_of(lake, check: Check):
    (verdict,) = check.judge(lake)
    return verdict


def test_the_upper_bound_is_judged_and_not_the_estimate(judged_lake):
    row = verdict_of(judged_lake, Check("bad_share", largest=0.5))
    assert row.estimate == pytest.approx(0.05)
    assert 0.05 < row.high < 0.12
    between = (row.estimate + row.high) / 2
    assert verdict_of(judged_lake, Check("bad_share", largest=row.high)).verdict == PASSED
    failed = verdict_of(judged_lake, Check("bad_share", largest=between))
    assert failed.verdict == FAILED
    assert "images more" in failed.reason
    assert "estimate breaks it" in verdict_of(judged_lake, Check("bad_share", largest=0.01)).reason


def test_the_lower_bound_is_judged_for_a_least(judged_lake):
    row = verdict_of(judged_lake, Check("share_over", least=0.0))
    assert row.estimate == pytest.approx(0.95)
    assert verdict_of(judged_lake, Check("share_over", least=row.low)).verdict == PASSED
    assert verdict_of(judged_lake, Check("share_over", least=0.95)).verdict == FAILED


def test_more_images_of_the_same_kind_settle_it_as_foretold(tmp_path):
    from curation.lake import Lake

    with Lake.create(tmp_path / "few") as few, Lake.create(tmp_path / "many") as many:
        write_run(few, IOUS)
        row = verdict_of(few, Check("bad_share", largest=0.5))
        limit = (row.estimate + row.high) / 2
        reason = verdict_of(few, Check("bad_share", largest=limit)).reason
        more = int(reason.split("about ")[1].split(" ")[0])
        write_run(many, {k: IOUS[k % 40] for k in range(40 * round((40 + more) / 40 + 1))})
        assert verdict_of(many, Check("bad_share", largest=limit)).verdict == PASSED


def test_too_few_images_cannot_judge(judged_lake, lake):
    verdict = verdict_of(judged_lake, Check("bad_share", largest=0.5, min_images=200))
    assert (verdict.verdict, verdict.reason) == (CANNOT_JUDGE, "160 images short of 200")


def test_one_image_has_no_bound_and_no_gold_has_no_figure(lake):
    assert verdict_of(lake, Check("bad_share", largest=0.5)).verdict == CANNOT_JUDGE
    write_run(lake, {0: [0.9, 0.9]})
    assert verdict_of(lake, Check("bad_share", largest=0.5)).verdict == CANNOT_JUDGE


def test_a_run_that_a_newer_one_replaced_is_judged_only_when_asked(lake):
    old, gold = write_run(lake, {k: [0.2, 0.9] for k in range(6)})
    new, _ = write_run(lake, {k: [0.9, 0.8] for k in range(6)}, gold, settings={"again": 1})
    assert [row.subject for row in Check("bad_share", largest=1).judge(lake)] == [
        f"run {new}, gold run {gold}"
    ]
    (asked,) = Check("bad_share", largest=1, run_id=old).judge(lake)
    assert (asked.subject, asked.estimate) == (f"run {old}, gold run {gold}", pytest.approx(0.5))


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_reads_from_an_empty_and_a_small_lake(lake, name):
    chosen = Selection(iou=FIGURES[name].iou)
    assert list(FIGURES[name].read(lake, chosen)) == []
    write_run(lake, {k: [0.9, 0.4] for k in range(3)})
    for measured in FIGURES[name].read(lake, chosen):
        assert measured.subject
        if None not in (measured.estimate, measured.low):
            assert measured.low <= measured.estimate <= measured.high


def test_figures_are_those_of_the_reports(judged_lake):
    (row,) = queries.get("stage_summary").run(judged_lake).to_pylist()
    verdict = verdict_of(judged_lake, Check("masks_per_image", least=1))
    assert (verdict.estimate, verdict.low) == (row["masks_per_image"], row["masks_per_image_low"])


def test_what_people_accept_is_a_figure_where_all_masks_were_drawn_from(judged_lake):
    samples.draw(judged_lake, samples.Request("all", "srs", 100))
    samples.draw(judged_lake, samples.Request("some", "srs", 50, Scope(where="predicted_iou > 0.5")))
    for name in ("all", "some"):
        judge(judged_lake, name, lambda position: "accept" if position % 10 else "fix")
    verdict = verdict_of(judged_lake, Check("accepted_share", least=0.8))
    assert (verdict.subject, verdict.verdict) == ("run 1, sample all", PASSED)
    assert verdict.estimate == pytest.approx(0.9)
    assert verdict.low < 0.9 < verdict.high


def test_cli_ends_with_1_and_writes_junit_and_json(judged_lake, tmp_path):
    file = tmp_path / "checks.toml"
    file.write_text(
        'min_images = 10\n[[check]]\nfigure = "recall"\niou = 0.75\nmin = 0.5\n'
        '[[check]]\nfigure = "covered_share"\nmin = 0.5\n'
    )
    words = [
        "check",
        "-w",
        str(judged_lake.root),
        "--max-bad-upper",
        "0.06",
        "--checks",
        str(file),
        "--run",
        "1",
    ]
    words += ["--junit", str(tmp_path / "c.xml"), "--json", str(tmp_path / "c.json")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1, result.output
    told = json.loads((tmp_path / "c.json").read_text())
    assert told["passed"] is False
    assert told["counts"] == {PASSED: 1, FAILED: 1, CANNOT_JUDGE: 1}
    suite = ElementTree.parse(tmp_path / "c.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert len(suite.findall("testcase/failure")) == 1


def test_cli_ends_with_0_when_all_pass(judged_lake):
    words = ["check", "-w", str(judged_lake.root), "--max-bad-upper", "0.2", "--min", "recall@0.75=0.5"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "2 of 2 checks passed" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no check came"),
        (["--max", "beauty=1"], "no such figure"),
        (["--max", "recall=high"], "FIGURE=LIMIT"),
        (["--max", "masks_per_image@0.5=1"], "not asked at an IoU"),
    ],
)
def test_a_wrong_option_says_what_is_allowed(lake, words, message):
    result = CliRunner().invoke(app, ["check", "-w", str(lake.root), *words])
    assert message in str(result.exception)


def test_options_hold_for_the_checks_of_a_file_that_do_not_say_otherwise(tmp_path):
    path = tmp_path / "checks.toml"
    path.write_text(
        '[[check]]\nfigure = "recall"\nmin = 0.5\n[[check]]\nfigure = "recall"\nmin = 0.5\nrun = 1\n'
    )
    found = checks.read(path, {"min_images": 9, "run": 7})
    assert [(check.min_images, check.run_id) for check in found] == [(9, 7), (9, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no \[\[check\]\]"),
        ("check = 3", r"no \[\[check\]\]"),
        ("limit = 1\n[[check]]", "top: unknown key.* limit"),
        ("[[check]]\nmax = 1", "check 1: figure is missing"),
        ('[[check]]\nfigure = "recall"', "give one limit"),
        ('[[check]]\nfigure = "recall"\nmin = 0.1\nmax = 0.2', "give one limit"),
        ('[[check]]\nfigure = "recall"\nmin = "0.1"', "min is '0.1'"),
        ('[[check]]\nfigure = "recall"\nat_least = 1', "unknown key.* at_least"),
        ("[[check", "Expected"),
    ],
)
def test_a_bad_file_says_where(tmp_path, text, message):
    path = tmp_path / "checks.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        checks.read(path)
