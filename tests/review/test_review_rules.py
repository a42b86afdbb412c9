"""What a workspace says about its review."""

import pytest
from samples import draw, run_with_masks

from curation.errors import InputError
from curation.review import plan, rules
from curation.review.rules import Shares


def test_without_a_file_everybody_who_logs_in_is_a_rater(tmp_path):
    found = rules.read(tmp_path)
    assert found.role_of("ann@example.org") == "rater"


def test_the_first_role_that_fits_counts(tmp_path):
    text = 'break_after_min = 25\n[roles]\ncurator = ["ann@example.org"]\nrater = ["*@example.org"]\n'
    (tmp_path / rules.FILE).write_text(text)
    found = rules.read(tmp_path)
    assert found.role_of("Ann@Example.org") == "curator"
    assert found.role_of("bob@example.org") == "rater"
    assert found.role_of("eve@elsewhere.org") is None
    assert found.break_after_min == 25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[roles", "no TOML"),
        ("[roles]\nboss = ['a']", "unknown role 'boss'"),
        ("[roles]\nrater = 'a'", "a list of names"),
        ("speed = 3", "unknown entry 'speed'"),
        ("break_after_min = -1", "minutes"),
        ("enough_half_width = 'small'", "a share"),
        ("shares = 3", "write a table"),
        ("first = 'spring'", "a list of names"),
        ("[shares]\nchecks = 0.1", "unknown share 'checks'"),
        ("[shares]\nrepeat = 2", "a share from 0 to 1"),
        ("[shares]\nrepeat = 0.3\ngold_check = 0.3", "at most 0.5"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path, text, message):
    (tmp_path / rules.FILE).write_text(text)
    with pytest.raises(InputError, match=message):
        rules.read(tmp_path)


def test_samples_that_come_first_are_named_by_patterns(tmp_path):
    (tmp_path / rules.FILE).write_text('first = ["release-*", "spring"]')
    found = rules.read(tmp_path)
    assert [found.urgency(name) for name in ("release-7", "spring", "old")] == [0, 1, 2]
    assert rules.Rules().urgency("old") == 0


def test_checks_come_as_often_as_the_workspace_says(lake):
    draw(lake, "s", run_with_masks(lake, 4, 50)[1])
    assert plan.of(lake, "s").shares == Shares()
    (lake.root / rules.FILE).write_text("[shares]\ngold_check = 0\nrepeat = 0.25\ndouble_review = 1")
    planned = plan.of(lake, "s")
    assert len(planned.doubles) == 200
    marked = {
        kind: [planned.is_marked(kind, "ann", i) for i in range(2_000)] for kind in ("gold_check", "repeat")
    }
    assert not any(marked["gold_check"])
    assert 0.27 < sum(marked["repeat"]) / 2_000 < 0.40  # a third of the masks: a quarter of all tasks
