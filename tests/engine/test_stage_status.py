"""`curation stage status`: metrics by cycle, and the verdict on the newest."""

from gold_lake import write_run
from typer.testing import CliRunner

from curation.cli import app


def status(lake, *words: str) -> str:
    result = CliRunner().invoke(
        app, ["stage", "status", "-w", str(lake.root), *words], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0, result.output
    return result.output


def test_the_newest_cycle_is_judged(lake):
    _, gold = write_run(lake, {k: [0.95, 0.3] for k in range(20)}, stage="assisted_manual", cycle=0)
    write_run(lake, {k: [0.95, 0.95 - k / 1000] for k in range(20)}, gold, stage="semi_automatic", cycle=0)
    write_run(lake, {k: [0.96, 0.95 - k / 1000] for k in range(20)}, gold, stage="semi_automatic", cycle=1)
    printed = status(lake)
    assert "Ready to leave semi_automatic, cycle 1?" in printed
    assert "Cannot tell yet" in printed  # without labels, nobody knows how diverse they are
    csv = status(lake, "--format", "csv")
    rows = [line for line in csv.splitlines() if line.startswith('"')][1:]
    assert len(rows) == 3 * 6
    assert '"gain","below 0.05"' in rows[-1]
    assert '"met"' in rows[-1]


def test_another_limit_changes_the_verdict(lake):
    write_run(lake, {k: [0.95, 0.3] for k in range(20)})

    def line(*words: str) -> str:
        (found,) = [row for row in status(lake, "--format", "csv", *words).splitlines() if "auto_acc" in row]
        return found

    assert ',"above 0.65",0.5,' in line()
    assert '"met"' not in line()
    assert ',"above 0.2",0.5,' in line("--set", "min_auto_accept_rate=0.2")
    assert '"met"' in line("--set", "min_auto_accept_rate=0.2")


def test_both_tables_hear_of_a_limit_that_both_know(lake):
    write_run(lake, {k: [0.95, 0.6, 0.55] for k in range(20)})
    assert status(lake).count("0.3333 [") == 2  # a third of the masks is over 0.9
    assert "0.3333 [" not in status(lake, "--set", "auto_accept=0.2")


def test_an_empty_lake_has_no_stage(lake):
    assert "Stages and cycles" in status(lake)
