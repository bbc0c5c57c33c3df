"""The operations of the API, by subject."""

from api.operations import Door
from api.routes import administration, executions, queues, system, tasks

DOORS: tuple[Door, ...] = (
    tasks.door,
    executions.door,
    queues.task_types,
    queues.queues,
    queues.dead_letters,
    administration.secrets,
    administration.api_keys,
    system.door,
)
"""Every subject, in the order of the documentation."""
