"""The one progress line of long work: count, rate, time left."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from curation.cli.output import messages
from curation.shards import Done, Shard


class RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields["unit"]
        return Text("" if not speed else f"{speed:.3g} {unit}/s", style="dim")


class Bar:
    """Advances by units of work; on a terminal it draws, elsewhere it prints a line now and then."""

    #: Share of the work between two lines where there is no terminal (a log file, CI).
    LOG_SHARE = 0.1

    def __init__(self, progress: Progress, task_id: int, about: str) -> None:
        self._progress, self._task_id, self._about = progress, task_id, about
        self._next_log_share = self.LOG_SHARE

    def advance(self, n: float = 1, note: str = "") -> None:
        self._progress.update(self._task_id, advance=n, note=note)
        if not messages.is_terminal:
            self._log(note)

    def expect(self, total: float) -> None:
        """Say how much work there is, where that was not known at the start."""
        self._progress.update(self._task_id, total=total)

    def _log(self, note: str) -> None:
        task = self._progress.tasks[0]
        share = task.completed / task.total if task.total else 1.0
        if share >= self._next_log_share or share >= 1.0:
            self._next_log_share = share + self.LOG_SHARE
            left = "" if task.time_remaining is None else f", {task.time_remaining:.0f} s left"
            messages.print(
                f"{self._about}: {task.completed:.0f} of {task.total} {task.fields['unit']}{left} {note}".rstrip()
            )


@contextmanager
def progress(total: int | None, unit: str = "images", about: str = "") -> Iterator[Bar]:
    """Show how far the work is: count, rate in units a second, time left.

    `total` None (unknown) shows a count alone. Ends its line on the way out, also on an error.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    with Progress(*columns, console=messages, disable=not messages.is_terminal) as display:
        task_id = display.add_task(about or unit, total=total, unit=unit, note="")
        yield Bar(display, task_id, about or unit)


@contextmanager
def shard_progress(todo: Sequence[Shard], about: str) -> Iterator[Callable[[Done], None]]:
    """Progress over the images of shards; what it gives is `on_done` of the work on them."""
    with progress(sum(shard.stop - shard.first for shard in todo), about=about) as bar:
        yield lambda done: bar.advance(done.shard.stop - done.shard.first)
