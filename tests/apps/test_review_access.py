"""Names, roles and tokens."""

import base64
import json
import stat

import pytest

from apps.review import access
from curation.errors import InputError

ANN = access.Person("Ann", "rater")
SECRET = b"s" * 32


def test_a_token_names_whom_it_was_made_for():
    assert access.check(access.issue(ANN, SECRET), SECRET) == ANN


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "é.é", "=.="])
def test_what_is_no_token_is_refused(token):
    with pytest.raises(access.AccessError):
        access.check(token, SECRET)


def test_a_token_of_another_secret_is_refused():
    with pytest.raises(access.AccessError, match="not of this workspace"):
        access.check(access.issue(ANN, SECRET), b"t" * 32)


def test_a_token_cannot_be_rewritten():
    _, signature = access.issue(ANN, SECRET).split(".")
    payload = json.dumps({"rater": "Ann", "role": "curator", "until": 1e12}).encode()
    forged = f"{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.{signature}"
    with pytest.raises(access.AccessError, match="not of this workspace"):
        access.check(forged, SECRET)


def test_a_token_ends():
    token = access.issue(ANN, SECRET, now=0.0)
    assert access.check(token, SECRET, now=access.TOKEN_S - 1) == ANN
    with pytest.raises(access.AccessError, match="over"):
        access.check(token, SECRET, now=access.TOKEN_S + 1)


def test_logging_out_ends_the_sessions_that_have_begun_and_no_others(tmp_path):
    before, after = (access.Person("Ann", "rater", since) for since in (1e9, 1e9 + 2))
    assert not access.has_logged_out(tmp_path, before)
    access.log_out(tmp_path, "Ann", now=1e9 + 1)
    held = access.check(access.issue(before, SECRET), SECRET)
    assert access.has_logged_out(tmp_path, held)
    assert not access.has_logged_out(tmp_path, after)
    assert not access.has_logged_out(tmp_path, access.Person("Bea", "rater", 1e9))


def test_the_secret_outlives_the_server_and_is_its_owners_alone(tmp_path):
    first = access.server_secret(tmp_path)
    assert access.server_secret(tmp_path) == first
    assert len(first) == 32
    assert stat.S_IMODE((tmp_path / access.SECRET_FILE).stat().st_mode) == 0o600


def test_a_secret_that_was_cut_short_is_refused(tmp_path):
    (tmp_path / access.SECRET_FILE).write_bytes(b"")
    with pytest.raises(InputError, match="delete it"):
        access.server_secret(tmp_path)


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a" * 81, "\x07"])
def test_a_name_is_short_and_printable(text):
    with pytest.raises(InputError):
        access.checked_name(text)
    assert access.checked_name(" Ann Ó ") == "Ann Ó"


def test_the_workspaces_key_does_not_tell_its_path(tmp_path):
    key = access.workspace_key(tmp_path)
    assert key != access.workspace_key(tmp_path / "other")
    assert tmp_path.name not in key
