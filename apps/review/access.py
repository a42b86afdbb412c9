"""Who is at the browser, what they may do, and the tokens that say so to the routes."""

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

from curation.errors import CurationError, InputError

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
SECRET_FILE = "review.secret"  # nosec B105  # a file's name
#: One empty file a rater: its time says when they logged out last.
LOGGED_OUT = "review.logged_out"
#: A token outlives a working day; after that the page asks to be loaded again.
TOKEN_S = 16 * 3600.0
MAX_NAME = 80


class AccessError(CurationError):
    """A request without a token that holds; the routes answer it with 401 or 403."""


@dataclass(frozen=True)
class Person:
    """Who judges: `rater` is a name (local mode) or an address (team mode); without a role they may open nothing.

    `since`: when their session began, in seconds since 1970.
    """

    rater: str
    role: str | None
    since: float = field(default_factory=time.time, compare=False)

    def may_open(self, view: str) -> bool:
        return self.role in VIEWS[view]


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
    held = {"rater": person.rater, "role": person.role, "since": person.since, "until": until}
    payload = json.dumps(held).encode()
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
    # tokens that an older version made have no beginning, and hold for a day at most
    return Person(held["rater"], held["role"], held.get("since", 0.0))


def log_out(root: Path, rater: str, now: float | None = None) -> None:
    """End all sessions of a rater that have begun: their tokens hold no more, on whatever machine they are."""
    path = _logged_out(root, rater)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch()
    now = time.time() if now is None else now
    os.utime(path, (now, now))


def has_logged_out(root: Path, person: Person) -> bool:
    """Whether the person has logged out since their session began."""
    try:
        return person.since <= _logged_out(root, person.rater).stat().st_mtime
    except FileNotFoundError:
        return False


def _logged_out(root: Path, rater: str) -> Path:
    return root / LOGGED_OUT / hashlib.sha256(rater.encode()).hexdigest()


def workspace_key(root: Path) -> str:
    """A short name for the workspace that tells nothing of its path: under it a browser keeps its verdicts."""
    return hashlib.sha256(str(root).encode()).hexdigest()[:12]


def _signature(payload: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, payload, hashlib.sha256).digest()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
