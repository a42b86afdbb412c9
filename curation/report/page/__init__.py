"""The report that people read: one HTML file with its charts and pictures inside, without scripts."""

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from curation import __version__
from curation.errors import MissingExtraError
from curation.lake import Lake
from curation.report import charts, figures
from curation.report.page.blocks import Block, Figure, Pictures
from curation.report.page.facts import Facts, Request, choose
from curation.report.page.sections import SECTIONS, Section
from curation.report.page.summary import summary
from curation.report.page.words import day, stage
from curation.whole_files import write_whole

FOLDER = Path(__file__).parent
#: Widths in px of a chart over the whole column, of one of two beside each other, and of any on a phone.
WIDE_PX, HALF_PX, PHONE_PX = 840, 404, 328


@dataclass(frozen=True)
class Shown:
    """A section with what it shows; `missing` stands in the place of no blocks."""

    section: Section
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """What was written. `unreadable` says which pictures could not be read, and why."""

    path: Path
    n_bytes: int
    n_charts: int
    unreadable: tuple[str, ...]


def write_report(
    lake: Lake,
    out: Path,
    request: Request = Request(),
    charts_folder: Path | None = None,
    on_section: Callable[[str], None] = lambda title: None,
) -> Report:
    """Write the report of one run against one gold as `out`, and each chart as PNG and SVG into `charts_folder`.

    An empty lake gives a page that says so. `on_section` hears each title when its section is begun. Raises
    QueryError where a run or its gold is not there, MissingExtraError without Altair and vl-convert.
    """
    charts.check_installed()
    jinja2 = _jinja2()
    facts = Facts(lake, choose(lake, request))
    on_section("Summary")
    head, shown = summary(facts), []
    for section in SECTIONS:
        on_section(section.title)
        shown.append(Shown(section, section.blocks(facts)))
    on_section("Page")
    data = _page(jinja2, facts, head, shown).encode()
    write_whole(out, data)
    drawn = [block for one in shown for block in one.blocks if isinstance(block, Figure)]
    if charts_folder is not None:
        _save_charts(drawn, charts_folder)
    return Report(out, len(data), len(drawn), _unreadable(shown))


def _page(jinja2: ModuleType, facts: Facts, head: list[Block], shown: list[Shown]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["prose"] = _prose
    environment.filters["drawings"] = _drawings
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment.get_template("page.html").render(
        subject=facts.subject,
        made=_made_of(facts),
        day=day(facts.subject.made_at),
        head=head,
        shown=shown,
        style=_markup((FOLDER / "page.css").read_text() + _colours_css()),
        version=__version__,
    )


def _made_of(facts: Facts) -> list[str]:
    """What the title's line says: run, model, stage, version of the lake."""
    subject = facts.subject
    told = []
    if subject.run_id is not None:
        run = facts.rows("stage_summary")[0]
        told = [f"run {run['run_id']}", run["model"], run["preset"], stage(run["stage"], run["cycle"])]
    tags = f" ({', '.join(subject.tags)})" if subject.tags else ""
    return [str(part) for part in (*told, f"lake version {subject.version}{tags}") if part]


def _drawings(figure: Figure) -> str:
    """The chart twice: for a screen or paper, and for a phone. The page shows the one that fits."""
    wide = charts.inline_svg(figure.draw(WIDE_PX if figure.is_wide else HALF_PX), figure.name)
    phone = charts.inline_svg(figure.draw(PHONE_PX), f"{figure.name}-phone")
    return _markup(f'<div class="on-screen">{wide}</div><div class="on-phone">{phone}</div>')


def _prose(text: str) -> str:
    """Words with what stands between backticks as code; all else that could be HTML is escaped."""
    escaped = str(_escape(text))
    return _markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))


def _colours_css() -> str:
    """The colours of charts as variables, and the rules that let an inline chart follow light and dark."""
    pairs = {
        **charts.COLOURS,
        **{f"step{n}": pair for n, pair in enumerate(charts.STEPS)},
    }
    light = "".join(f"--{name}:{paper};" for name, (paper, _) in pairs.items())
    dark = "".join(f"--{name}:{screen};" for name, (_, screen) in pairs.items())
    follow = "".join(
        f'.chart [fill="{paper}"]{{fill:var(--{name})}}.chart [stroke="{paper}"]{{stroke:var(--{name})}}'
        for name, (paper, _) in pairs.items()
    )
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{follow}"


def _save_charts(drawn: Sequence[Figure], folder: Path) -> None:
    for figure in drawn:
        chart = figures.titled(figure.draw(WIDE_PX if figure.is_wide else HALF_PX), figure.title)
        for kind in ("png", "svg"):
            charts.save(chart, folder / f"{figure.name}.{kind}")


def _unreadable(shown: Sequence[Shown]) -> tuple[str, ...]:
    pictures = [
        p for one in shown for block in one.blocks if isinstance(block, Pictures) for p in block.pictures
    ]
    return tuple(picture.problem for picture in pictures if picture.problem)


def _jinja2() -> ModuleType:
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError("the report", "report", "Jinja2") from error
    return jinja2


def _markup(text: str) -> str:
    """HTML that this project wrote or escaped itself."""
    from markupsafe import Markup

    return Markup(text)  # nosec B704  # escaped before


def _escape(text: str) -> str:
    from markupsafe import escape

    return escape(text)
