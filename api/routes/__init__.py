"""The operations of the API, by subject."""

from api.operations import Door
from api.routes import (
    administration,
    agents,
    deliveries,
    executions,
    members,
    one_time_codes,
    queues,
    reports,
    runs,
    system,
    tasks,
    workflows,
)

DOORS: tuple[Door, ...] = (
    tasks.door,
    runs.door,
    workflows.door,
    executions.door,
    queues.task_types,
    queues.queues,
    queues.dead_letters,
    reports.door,
    deliveries.door,
    members.members,
    members.groups,
    agents.agents,
    agents.lease_door,
    administration.secrets,
    administration.api_keys,
    one_time_codes.door,
    system.door,
)
"""Every subject, in the order of the documentation."""
