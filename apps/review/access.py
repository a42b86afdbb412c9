"""Who is at the browser, what they may do, and the tokens that say so to the routes."""

import base64
import fnmatch
import hashlib
import hmac
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from curation.errors import CurationError, InputError
from curation.settings import REVIEW

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROLES = ("rater", "curator", "analyst")
#: View -> roles that may open it.
VIEWS = {
    "review": ("rater", "curator"),
    "correct": ("rater", "curator"),
    "image": ("rater", "curator"),
    "queue": ("curator",),
    "failures": ("curator", "analyst"),
    # Who is no curator sees the own row only.
    "raters": ("rater", "curator", "analyst"),
    "stage": ("curator", "analyst"),
    "sql": ("curator", "analyst"),
}
SETTINGS_FILE = "review.toml"
SECRET_FILE = "review.secret"
#: A token outlives a working day; after that the page asks to be loaded again.
TOKEN_S = 16 * 3600.0
MAX_NAME = 80
#: About 700 masks of a simple random sample; who plans to know more closely says so in `review.toml`.
ENOUGH_HALF_WIDTH = 0.05


class AccessError(CurationError):
    """A request without a token that holds; the routes answer it with 401 or 403."""


@dataclass(frozen=True)
class Person:
    """Who judges: `rater` is a name (local mode) or an address (team mode)."""

    rater: str
    role: str

    def may_open(self, view: str) -> bool:
        return self.role in VIEWS[view]


@dataclass(frozen=True)
class Rules:
    """What `review.toml` says: role -> patterns of raters, minutes of judging after which a pause is asked for, and how
    closely the share of accepted masks must be known (± 0..1) before the page says that enough is judged.
    """

    roles: Mapping[str, tuple[str, ...]]
    break_after_min: float = REVIEW.break_after_min
    enough_half_width: float = ENOUGH_HALF_WIDTH

    def role_of(self, rater: str) -> str | None:
        """The first role, from curator down to rater, with a pattern that fits; None for a stranger."""
        for role in ("curator", "analyst", "rater"):
            if any(fnmatch.fnmatchcase(rater.lower(), p.lower()) for p in self.roles.get(role, ())):
                return role
        return None


def read_rules(root: Path) -> Rules:
    """The rules of a workspace; without a file everybody who logs in is a rater. Raises InputError."""
    path = root / SETTINGS_FILE
    if not path.is_file():
        return Rules({"rater": ("*",)})
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML ({error}): mend it") from error
    _refuse_strangers(path, "entry", tables, ("roles", "break_after_min", "enough_half_width"))
    return Rules(
        _roles(path, tables.get("roles", {"rater": ["*"]})),
        _number(
            path, tables, "break_after_min", REVIEW.break_after_min, 24 * 60.0, "minutes, 0 for no pauses"
        ),
        _number(path, tables, "enough_half_width", ENOUGH_HALF_WIDTH, 0.5, "a share such as 0.02"),
    )


def checked_name(text: str) -> str:
    """A rater's name without spaces around it. Raises InputError where it is empty, too long or not printable."""
    name = text.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise InputError(f"name {text[:MAX_NAME]!r}: write 1 to {MAX_NAME} printable letters")
    return name


def server_secret(root: Path) -> bytes:
    """The key of this workspace's tokens, made at first use, so that a restart of the server ends no session.

    The file is its owner's alone (mode 600).
    """
    path = root / SECRET_FILE
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        held = path.read_bytes()
        if len(held) < 32:
            raise InputError(f"{path} holds {len(held)} bytes of 32: delete it, it is made anew") from None
        return held
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(32))
    return path.read_bytes()


def issue(person: Person, secret: bytes, now: float | None = None) -> str:
    """A token for the page of `person`: `payload.signature`, both base64url; HMAC-SHA256 over the payload."""
    until = (time.time() if now is None else now) + TOKEN_S
    payload = json.dumps({"rater": person.rater, "role": person.role, "until": until}).encode()
    return f"{_base64(payload)}.{_base64(_signature(payload, secret))}"


def check(token: str, secret: bytes, now: float | None = None) -> Person:
    """Whom a token was made for. Raises AccessError where it is not ours, was changed, or is over."""
    try:
        payload, signature = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    except ValueError as error:
        raise AccessError("the token is damaged: load the page again") from error
    if not hmac.compare_digest(signature, _signature(payload, secret)):
        raise AccessError("the token is not of this workspace: load the page again")
    held = json.loads(payload)
    if held["until"] < (time.time() if now is None else now):
        raise AccessError("the session is over: load the page again")
    return Person(held["rater"], held["role"])


def workspace_key(root: Path) -> str:
    """A short name for the workspace that tells nothing of its path: under it a browser keeps its verdicts."""
    return hashlib.sha256(str(root).encode()).hexdigest()[:12]


def _signature(payload: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, payload, hashlib.sha256).digest()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _roles(path: Path, table: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    _refuse_strangers(path, "role", table, ROLES)
    for role, patterns in table.items():
        if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
            raise InputError(
                f'{path}: {role} is {patterns!r}; write a list of names, such as ["*@example.org"]'
            )
    return {role: tuple(patterns) for role, patterns in table.items()}


def _number(
    path: Path, tables: Mapping[str, object], name: str, default: float, most: float, allowed: str
) -> float:
    value = tables.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise InputError(f"{path}: {name} is {value!r}; write {allowed}")
    return float(value)


def _refuse_strangers(path: Path, what: str, found: Mapping[str, object], allowed: object) -> None:
    strangers = sorted(set(found) - set(allowed))
    if strangers:
        raise InputError(f"{path}: unknown {what} {strangers[0]!r}; allowed are {', '.join(allowed)}")
