"""What a section is made of. Blocks hold finished words; the template `page.html` turns each kind into HTML."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Words:
    """A paragraph, or with `items` a list that it opens."""

    kind: ClassVar[str] = "words"
    text: str
    items: Sequence[str] = ()


@dataclass(frozen=True)
class Number:
    """A figure in large type: `value` (`label`), and below it what it rests on."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Numbers:
    kind: ClassVar[str] = "numbers"
    numbers: Sequence[Number]


@dataclass(frozen=True)
class Table:
    """Rows of words under `titles`. Columns in `right` hold numbers and are aligned on the right.

    Where `is_folded`, a screen shows the title alone until it is asked for the rows.
    """

    kind: ClassVar[str] = "table"
    title: str
    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[int] = frozenset()
    is_folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A chart. `draw` gives it for a width in px; `alt` says in words what it shows; `note` its n and design.

    `name` names its files; a wide figure takes the whole column, others stand two beside each other.
    """

    kind: ClassVar[str] = "figure"
    name: str
    title: str
    alt: str
    note: str
    draw: Callable[[int], Any]
    is_wide: bool = False


@dataclass(frozen=True)
class Picture:
    """A JPEG with its words. `jpeg` is None where the picture could not be read, and `problem` says why."""

    title: str
    facts: Sequence[tuple[str, str]]
    alt: str
    jpeg: bytes | None
    command: str
    problem: str = ""


@dataclass(frozen=True)
class Pictures:
    kind: ClassVar[str] = "pictures"
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Commands:
    """Commands to type, after a line that says what for."""

    kind: ClassVar[str] = "commands"
    text: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Source:
    """What a method is from. `url` is the only kind of link that the page has."""

    text: str
    url: str = ""


@dataclass(frozen=True)
class Sources:
    kind: ClassVar[str] = "sources"
    sources: Sequence[Source]


@dataclass(frozen=True)
class Beside:
    """Blocks below each other in one column, beside a figure that is not wide."""

    kind: ClassVar[str] = "beside"
    blocks: "Sequence[Block]"


Block = Words | Numbers | Table | Figure | Pictures | Commands | Sources | Beside
