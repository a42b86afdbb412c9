"""FiftyOne and its MongoDB: found, connected and kept from phoning home."""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from curation import settings
from curation.errors import CurationError, MissingExtraError

TRACKING_VARIABLE = "FIFTYONE_DO_NOT_TRACK"


def connect() -> ModuleType:
    """The package `fiftyone`, connected to its database.

    Where `FIFTYONE_DATABASE_URI` (or the user's FiftyOne config) names a MongoDB, that one is used; else
    FiftyOne starts its own, in `FIFTYONE_DATABASE_DIR` (default ~/.fiftyone/var/lib/mongo). Raises
    MissingExtraError where FiftyOne or mongod is not installed, CurationError where MongoDB does not answer.
    """
    _do_not_track()
    # Rows go to stdout, where a message of FiftyOne would spoil them.
    os.environ.setdefault("FIFTYONE_LOGGING_DESTINATION", "stderr")
    try:
        import fiftyone
        import fiftyone.core.odm
        from fiftyone.core.config import FiftyOneConfigError
        from fiftyone.core.service import ServiceExecutableNotFound, ServiceListenTimeout
    except ImportError as error:
        raise MissingExtraError("Browsing masks", "browse", error.name or "fiftyone") from error
    with alone(), _without_notices():
        try:
            fiftyone.core.odm.get_db_conn()
        except (FiftyOneConfigError, ServiceExecutableNotFound) as error:
            raise MissingExtraError(
                "Browsing masks keeps them in MongoDB (FIFTYONE_DATABASE_URI points to one that you run), and",
                "browse",
                "fiftyone-db, which brings mongod,",
            ) from error
        except (ConnectionError, RuntimeError, ServiceListenTimeout, OSError) as error:
            raise CurationError(_unreachable(fiftyone.config, error)) from error
    return fiftyone


@contextmanager
def alone() -> Iterator[None]:
    """Hold, among this user's processes, the right to start the database or to declare a dataset.

    FiftyOne's own start and schema changes lose when two processes make them at once.
    """
    path = settings.cache_dir() / "fiftyone.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _without_notices() -> Iterator[None]:
    """Keep FiftyOne from telling, at every start, that the MongoDB it brought is getting old."""
    logger = logging.getLogger("fiftyone.core.odm.database")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _do_not_track() -> None:
    """Turn FiftyOne's usage tracking off, unless the user's environment or config decides about it."""
    config = Path(os.environ.get("FIFTYONE_CONFIG_PATH") or Path.home() / ".fiftyone" / "config.json")
    try:
        is_decided = "do_not_track" in json.loads(config.read_text())
    except (OSError, ValueError):  # no config, or one that FiftyOne itself will complain about
        is_decided = False
    if not is_decided:
        os.environ.setdefault(TRACKING_VARIABLE, "true")


def _unreachable(config: object, error: Exception) -> str:
    if config.database_uri:
        where, todo = "the MongoDB of FIFTYONE_DATABASE_URI", "check that it runs and that the URI is right"
    else:
        where = f"FiftyOne's own MongoDB in {config.database_dir}"
        todo = f"see {Path(config.database_dir) / 'log' / 'mongo.log'}, or point FIFTYONE_DATABASE_URI to another"
    return f"{where} does not answer ({type(error).__name__}: {error}): {todo}"
