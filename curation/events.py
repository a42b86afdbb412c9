"""Events: what the machinery did, one line each, for whoever watches a long run or looks for a fault afterwards.

    2026-11-21T09:20:03.120Z info shard_committed run=3 work=generate shard=0000000008 n_masks=404 took_s=3.21

They go through `logging` under the name `curation`, so that a program that uses the library takes them as it likes.
The command line shows them with `--verbose` and appends them to the file that CURATION_LOG names.
"""

import json
import logging
import os
import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from curation.errors import InputError

logger = logging.getLogger("curation")
logger.addHandler(logging.NullHandler())  # nothing is written where nobody asked


def record(event: str, level: int = logging.INFO, **fields: object) -> None:
    """Note an event: `snake_case` name in the past tense, and fields of its own (`run`, `shard`, …; units in their names)."""
    if logger.isEnabledFor(level):
        logger.log(level, "%s", " ".join([event, *(f"{name}={_value(x)}" for name, x in fields.items())]))


def show(write: Callable[[str], None]) -> None:
    """Hand every event to `write`, one line each without its line end."""
    _add(_Lines(write))


def append_to_file_of_environment() -> None:
    """Append every event to the file that CURATION_LOG names, if any. Raises InputError where it cannot be written."""
    name = os.environ.get("CURATION_LOG")
    if not name:
        return
    try:
        _add(logging.FileHandler(Path(name).expanduser(), encoding="utf-8"))
    except OSError as error:
        raise InputError(f"CURATION_LOG={name}: {error.strerror}; name a file that can be written") from error


def without_secrets(text: str) -> str:
    """`text` (a URL, SQL or an error) with passwords and secret keys replaced, fit for a terminal or a log."""
    text = re.sub(r"(://[^:/@\s]+):[^@\s]*@", r"\1:***@", text)
    text = re.sub(r"\b(password=)('[^']*'|[^\s'\";&]+)", r"\1***", text)
    return re.sub(r"\b(SECRET|SESSION_TOKEN) '[^']*'", r"\1 '***'", text)


def _value(x: object) -> str:
    """A number bare, a text bare where it is one word, else in quotes and on one line."""
    if isinstance(x, float):
        return f"{x:.4g}"
    text = without_secrets(str(x))
    return (
        text
        if re.fullmatch(r"[^\s\"=]+", text) and text.isprintable()
        else json.dumps(text, ensure_ascii=False)
    )


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        return f"{at.replace('+00:00', 'Z')} {record.levelname.lower()} {record.getMessage()}"


class _Lines(logging.Handler):
    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        self._write(self.format(record))


def _add(handler: logging.Handler) -> None:
    handler.setFormatter(_OneLine())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
