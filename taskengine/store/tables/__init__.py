"""The tables of the record. The database itself checks what must go together.

Payloads (config, result, error …) are ``json``, not ``jsonb``: they are stored and handed back, never searched,
and keep the order and the numbers that the client sent.

The tables that every task writes several rows to (tasks, executions, events, outbox) carry no foreign keys: each
row is made by the statement that just wrote its parent, a check per row would cost a tenth of the throughput, and
the key share locks on one organization's row would queue up all its writers. ``prune`` and ``delete`` clean up.
"""

from __future__ import annotations

from taskengine.store.tables.agents import agents, function_grants
from taskengine.store.tables.columns import metadata
from taskengine.store.tables.deliveries import deliveries, group_members, groups, members, webhook_secrets
from taskengine.store.tables.executions import artifacts, events, execution_logs, executions, steps
from taskengine.store.tables.memory import memories, one_time_codes
from taskengine.store.tables.operation import dead_letters, idempotency_keys, leaders, outbox, queues, workers
from taskengine.store.tables.organizations import api_keys, organizations, secrets
from taskengine.store.tables.runs import runs, workflows
from taskengine.store.tables.tasks import task_dependencies, tasks

__all__ = [
    "agents",
    "api_keys",
    "artifacts",
    "dead_letters",
    "deliveries",
    "events",
    "execution_logs",
    "executions",
    "function_grants",
    "group_members",
    "groups",
    "idempotency_keys",
    "leaders",
    "members",
    "memories",
    "metadata",
    "one_time_codes",
    "organizations",
    "outbox",
    "queues",
    "runs",
    "secrets",
    "steps",
    "task_dependencies",
    "tasks",
    "webhook_secrets",
    "workers",
    "workflows",
]
