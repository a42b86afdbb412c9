"""Databases in memory, with the DuckDB extensions that a lake needs."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import duckdb

from curation import settings
from curation.errors import LakeError


def connect(*extensions: str) -> duckdb.DuckDBPyConnection:
    """A new database in memory that has loaded `extensions`. Raises LakeError where one cannot be had.

    DuckDB reads and checks the signature of a whole extension (35 MB, 0.2 s) each time that one is loaded. What pip
    installed beside DuckDB's own library is trusted as that is, and loaded without; anything else must be signed.
    It takes all cores, or as many threads as CURATION_THREADS says.
    """
    con = duckdb.connect(config={"allow_unsigned_extensions": True})
    try:
        # Progress would be drawn on stdout, between rows that are piped on.
        con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        if (n_threads := settings.database_threads()) is not None:
            con.execute(f"SET threads = {n_threads}")
        left = [name for name in extensions if not _load_packed(con, name)]
        con.execute("SET allow_unsigned_extensions = false")
        for name in left:
            _load_signed(con, name)
    except BaseException:
        con.close()
        raise
    return con


def _load_packed(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Load the extension that its wheel of DuckDB's version brought; False where there is none."""
    for folder in _package_folders(name):
        path = folder / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
        if path.is_file():
            con.load_extension(str(path))
            return True
    return False


def _package_folders(name: str) -> Iterable[Path]:
    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    return map(Path, package.submodule_search_locations or ()) if package else ()


def _load_signed(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension that DuckDB has installed, else install it from DuckDB's server."""
    try:
        con.execute(f"LOAD {name}")
        return
    except duckdb.Error:
        pass  # not installed yet
    try:
        con.execute(f"INSTALL {name}; LOAD {name}")
    except duckdb.Error as error:
        package = f"duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}"
        raise LakeError(
            f"DuckDB {duckdb.__version__} has no extension {name!r} here, and cannot fetch it ({error}): "
            f"pip install {package}"
        ) from error
