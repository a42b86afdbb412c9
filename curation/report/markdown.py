"""Tables and people's words in Markdown."""

from collections.abc import Iterator, Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(str(value).replace('|', chr(92) + '|') for value in row)} |"
    yield ""


def plain_text(text: str) -> str:
    """What people typed, on one line and without meaning to Markdown or HTML."""
    escaped = "".join(f"\\{c}" if c in "\\`*_[]<>#" else c for c in " ".join(text.split()))
    return escaped.replace("&", "&amp;")
