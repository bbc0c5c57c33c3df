"""Work under way while something breaks, and the proof afterwards that none of it was lost or done twice."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import requests

from taskengine.domain.states import MOVES
from tests.stack import API_KEY, Stack, eventually

LEAST = 500
"""Tasks that are under way when a fault strikes."""
_RETRY = {"strategy": "fixed", "delay_seconds": 0.1, "jitter": False}
_LEGAL = {(move.event, source.value, move.target.value) for move in MOVES.values() for source in move.sources}
_NOTES = {"task.cancel_requested"}


def spec(number: int) -> dict[str, Any]:
    """Task ``number`` of a mix: most are small, some take a moment, some fail at first, some wait for another."""
    config: dict[str, Any] = {"message": number}
    made: dict[str, Any] = {"name": f"load {number}", "type": "echo", "config": config, "retry": _RETRY}
    match number % 10:
        case 1 | 4 | 7:
            config["sleep_seconds"] = 0.03
        case 3:
            config["fail_times"] = 1
        case 5:
            made["key"] = f"k{number}"
        case 6:
            made["depends_on"] = [f"k{number - 1}"]
    return made


class Load:
    """What was accepted of a stack's work: an id counts once the API has answered 201."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.accepted: set[str] = set()
        self._lock = threading.Lock()

    def submit(self, count: int = 620) -> None:
        """Post tasks in batches of a few hundred."""
        for start in range(0, count, 400):
            ids = self.stack.submit_batch([spec(number) for number in range(start, min(start + 400, count))])
            self.note(ids)

    def note(self, ids: list[str]) -> None:
        """Add what the API accepted."""
        with self._lock:
            self.accepted.update(ids)

    @contextmanager
    def clients(self, count: int = 2) -> Iterator[None]:
        """Meanwhile, let clients post one task after the other, each again with its key until it is accepted."""
        done = threading.Event()
        faults: list[str] = []
        threads = [threading.Thread(target=self._client, args=(done, faults)) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert faults == []

    def _client(self, done: threading.Event, faults: list[str]) -> None:
        number = 0
        while not done.wait(0.02):
            number += 1
            body = spec(number * 10 + number % 4)
            try:
                self.note([str(self.insist("/v1/tasks", body).json()["id"])])
            except AssertionError as error:
                faults.append(str(error))
                return

    def insist(self, path: str, body: Any, key: str | None = None, seconds: float = 60) -> requests.Response:
        """Post with an Idempotency-Key until the answer is 201; whatever else than an outage is a fault."""
        key = key or uuid4().hex
        deadline = time.monotonic() + seconds
        last: object = None
        pause = threading.Event()
        while time.monotonic() < deadline:
            try:
                headers = {"Idempotency-Key": key, "Authorization": f"Bearer {API_KEY}"}
                answer = requests.post(self.stack.base + path, json=body, headers=headers, timeout=20)
            except requests.RequestException as error:
                last = error
            else:
                if answer.status_code == 201:
                    return answer
                assert answer.status_code == 503, answer.text
                last = answer.text
            pause.wait(0.1)
        raise AssertionError(f"not accepted within {seconds:g} s: {last}")

    def finished(self) -> int:
        """How many tasks are completed."""
        return int(self.stack.sql("SELECT count(*) AS n FROM tasks WHERE status = 'completed'")[0]["n"])

    def wait_until_busy(self, finished: int = 20) -> None:
        """Wait until work is being done; enough of it must still lie ahead."""
        self.wait_for(finished)
        (left,) = self.stack.sql("SELECT count(*) AS n FROM tasks WHERE completed_at IS NULL")
        assert left["n"] >= LEAST, f"only {left['n']} tasks are left"

    def wait_for(self, finished: int) -> None:
        """Wait until so many tasks are completed."""
        eventually(lambda: self.finished() >= finished, 30, f"{finished} tasks are finished")

    def settle(self, seconds: float = 60) -> float:
        """Wait until every task is final, then prove the record; the seconds that it took."""
        began = time.monotonic()
        unfinished = "SELECT status, count(*) AS n FROM tasks WHERE completed_at IS NULL GROUP BY 1"
        try:
            eventually(lambda: not self.stack.sql(unfinished), seconds, "every task is final")
        except AssertionError as error:
            stuck = self.stack.sql(
                "SELECT t.id, t.status, t.attempt, t.waiting_on, o.published_at, o.attempt AS rung, now() "
                "FROM tasks t LEFT JOIN outbox o ON o.task_id = t.id WHERE t.completed_at IS NULL LIMIT 10"
            )
            raise AssertionError(f"{error}: {self.stack.sql(unfinished)}, such as {stuck}") from None
        took = time.monotonic() - began
        self.prove()
        return took

    def prove(self) -> None:
        """Nothing lost, nothing recorded twice, every history legal, nothing left in line."""
        sql = self.stack.sql
        tasks = {row["id"]: row for row in sql("SELECT id, status, attempt, config, result FROM tasks")}
        missing = [task_id for task_id in self.accepted if UUID(task_id) not in tasks]
        assert missing == [], "accepted, then lost"
        assert Counter(row["status"] for row in tasks.values()) == {"completed": len(tasks)}
        wrong = [row for row in tasks.values() if row["result"]["message"] != row["config"]["message"]]
        assert wrong == []
        self.prove_attempts(tasks)
        self.prove_histories(tasks)
        assert sql("SELECT * FROM outbox") == []
        assert sql("SELECT * FROM dead_letters") == []

    def prove_attempts(self, tasks: dict[Any, dict[str, Any]]) -> None:
        """Attempts are counted without a gap; each but the last failed as told or was lost, the last succeeded.

        One that needed the record while it was away ended by that, which costs the task no retry.
        """
        attempts: dict[Any, list[tuple[int, str]]] = defaultdict(list)
        away = "CASE WHEN error ->> 'code' = 'unavailable' THEN 'away' ELSE status END AS status"
        for row in self.stack.sql(f"SELECT task_id, attempt, {away} FROM executions ORDER BY attempt"):
            attempts[row["task_id"]].append((row["attempt"], row["status"]))
        for task_id, row in tasks.items():
            numbers = [number for number, _ in attempts[task_id]]
            statuses = [status for _, status in attempts[task_id]]
            assert numbers == list(range(1, row["attempt"] + 1)), (task_id, attempts[task_id])
            assert statuses[-1] == "succeeded", (task_id, statuses)
            assert set(statuses[:-1]) <= {"failed", "lost", "away"}, (task_id, statuses)
            failures = row["config"].get("fail_times", 0)
            assert statuses.count("failed") <= failures, (task_id, statuses)

    def prove_histories(self, tasks: dict[Any, dict[str, Any]]) -> None:
        """Each task was created once, and each of its events begins where the one before it ended."""
        last: dict[Any, str] = {}
        moves = "SELECT task_id, type, from_status, to_status FROM events WHERE task_id IS NOT NULL ORDER BY id"
        for event in self.stack.sql(moves):
            task_id, kind = event["task_id"], event["type"]
            if kind == "task.created":
                assert task_id not in last
            else:
                assert event["from_status"] == last[task_id], event
                assert (kind, event["from_status"], event["to_status"]) in _LEGAL or kind in _NOTES, event
            last[task_id] = event["to_status"]
        assert last == {task_id: row["status"] for task_id, row in tasks.items()}

    def everybody_works(self) -> None:
        """Every worker instance takes tasks again: none of them is alive and deaf."""
        nodes: set[str] = set()

        def all_heard() -> bool:
            ids = self.stack.submit_batch([{"config": {"sleep_seconds": 0.1}} for _ in range(12)])
            for task_id in ids:
                assert self.stack.task(task_id, wait=20)["status"] == "completed"
            rows = self.stack.sql("SELECT DISTINCT worker FROM executions WHERE task_id = ANY(%s)", ids)
            nodes.update(row["worker"].rpartition(":")[0] for row in rows)
            return len(nodes) >= 2

        eventually(all_heard, 40, f"both integration workers take tasks, not only {nodes}")

    def lost(self) -> int:
        """How many attempts were given up."""
        return int(self.stack.sql("SELECT count(*) AS n FROM executions WHERE status = 'lost'")[0]["n"])
