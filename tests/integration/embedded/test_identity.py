"""Which user Postgres runs as."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from taskengine.embedded import identity, linux
from taskengine.embedded.errors import StartError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    (tmp_path / "inside").mkdir()
    return tmp_path / "inside"


def test_a_normal_user_runs_it_as_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)
    monkeypatch.setattr("os.geteuid", lambda: account.pw_uid)
    assert identity.for_postgres(tmp_path / "data", ()) is None


def test_a_user_without_an_account_is_told_before_a_database_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    with pytest.raises(StartError, match="user, id 54321, has no account here"):
        identity.for_postgres(tmp_path / "data", ())
    assert identity.for_postgres(tmp_path, ()) is None


@as_root
def test_root_hands_it_to_a_user_that_needs_nothing_where_the_way_is_open(tmp_path: Path) -> None:
    found = identity.for_postgres(tmp_path / "data", (Path("/"), Path("/bin/sh")))
    assert found is not None
    assert found.uid != 0
    assert found.capability is None


@as_root
def test_root_lends_the_least_power_that_it_has_where_the_way_is_closed(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = identity.for_postgres(closed / "data", (closed,))
    assert found is not None
    assert found.capability == linux.CAP_DAC_READ_SEARCH
    monkeypatch.setattr(linux, "permitted_capabilities", lambda: {linux.CAP_DAC_OVERRIDE, linux.CAP_SETPCAP})
    found = identity.for_postgres(closed / "data", (closed,))
    assert found is not None
    assert found.capability == linux.CAP_DAC_OVERRIDE
    monkeypatch.setattr(linux, "permitted_capabilities", set)
    with pytest.raises(StartError, match=r"who may not enter a folder on the way to .*inside: move it"):
        identity.for_postgres(closed / "data", (closed,))


@as_root
def test_the_owner_of_the_data_stays_their_owner(tmp_path: Path) -> None:
    owner = pwd.getpwnam("nobody").pw_uid
    os.chown(tmp_path, owner, -1)
    found = identity.for_postgres(tmp_path, ())
    assert found is not None
    assert found.uid == owner
    os.chown(tmp_path, 54321, -1)
    with pytest.raises(StartError, match="belongs to user id 54321, who has no account here"):
        identity.for_postgres(tmp_path, ())


@as_root
def test_a_machine_with_no_other_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_CANDIDATES", ("no-such-user",))
    with pytest.raises(StartError, match="add a user named postgres, or start as a normal user"):
        identity.for_postgres(tmp_path / "data", ())
