"""Agents in the test's own process."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from taskengine.lifecycle import agents, leases
from tests.conftest import Bench


def register(bench: Bench, agent_id: str = "ann", *capabilities: str, most: int = 10) -> str:
    """Register an agent, by default one that counts words."""
    agents.register(bench.engine, bench.caller, agent_id, "tester", capabilities or ("word_count",), most)
    return agent_id


def custom(bench: Bench, *specs: dict[str, Any], capability: str = "word_count") -> list[UUID]:
    """Submit tasks for an agent."""
    base = {"type": "custom", "config": {"capability": capability, "payload": {"text": "a b"}}}
    return bench.submit(*(base | spec for spec in specs))


def lease(bench: Bench, agent_id: str = "ann", most: int = 10, **options: Any) -> list[dict[str, Any]]:
    """What the agent gets now."""
    return leases.lease(bench.engine, bench.caller, agent_id, most, **options)


def lease_one(bench: Bench, agent_id: str = "ann") -> dict[str, Any]:
    """The one lease that the agent gets now."""
    [found] = lease(bench, agent_id)
    return found


def fall_silent(bench: Bench) -> None:
    """Let all leases run out."""
    bench.sql("UPDATE executions SET lease_until = now() - interval '1 second' WHERE status = 'running'")


def executions(bench: Bench, task_id: UUID) -> list[tuple[str, str]]:
    """The status and holder of each attempt."""
    rows = bench.sql("SELECT status, worker FROM executions WHERE task_id = :id ORDER BY attempt", id=task_id)
    return [(row.status, row.worker) for row in rows]
