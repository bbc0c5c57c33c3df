"""The line in front of the broker: one row for each queued task, deleted by its claim.

``published_at`` is empty while the task stands in line here, and set when it went out in a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from taskengine.store.database import Rows

# Workers that have what the place in line ``o`` needs.
_TAKERS = """
    FROM takers w WHERE NOT EXISTS (SELECT FROM json_each_text(o.needs) AS n(name, amount)
        WHERE coalesce(CAST(w.resources ->> n.name AS double precision), 0) < CAST(n.amount AS double precision))
"""
_RUNNING = "SELECT count(*) FROM executions e WHERE e.status = 'running' AND starts_with(e.worker, w.name || ':')"

PICK = text(
    f"""
    WITH RECURSIVE takers AS MATERIALIZED (
        -- Workers of the queue that live and have nothing sent to them already. Looked up once, and not for each of a
        -- long line: while all are busy, there is nobody to compare needs with.
        SELECT w.name, w.resources, w.pool_size FROM workers w
        WHERE w.queue = :queue AND w.seen_at > now() - make_interval(secs => :alive)
            -- What is on the way of one queue is little, and found by outbox_rung_idx.
            AND (SELECT s.task_id FROM outbox s WHERE s.queue = :queue AND s.published_at IS NOT NULL
                AND s.sent_to = w.name ORDER BY s.published_at LIMIT 1) IS NULL
    ), organizations_in_line AS (
        -- A loose index scan over outbox_ready_idx: one probe for each organization, however long its line.
        (SELECT organization_id FROM outbox WHERE queue = :queue AND published_at IS NULL
            ORDER BY organization_id LIMIT 1)
        UNION ALL
        SELECT (SELECT o.organization_id FROM outbox o WHERE o.queue = :queue AND o.published_at IS NULL
            AND o.organization_id > last.organization_id ORDER BY o.organization_id LIMIT 1)
        FROM organizations_in_line last WHERE last.organization_id IS NOT NULL
    ), heads AS (
        SELECT head.*, row_number() OVER (
            PARTITION BY head.organization_id, head.priority ORDER BY head.urgency DESC, head.task_id) AS turn
        FROM organizations_in_line line CROSS JOIN LATERAL (
            SELECT task_id, organization_id, priority, urgency, light AND needs IS NULL AS light FROM outbox o
            WHERE queue = :queue AND organization_id = line.organization_id AND published_at IS NULL
                -- One that no worker can take now is passed over: it must not hold up those behind it.
                AND (needs IS NULL OR EXISTS (SELECT {_TAKERS}))
            ORDER BY priority DESC, urgency DESC, task_id LIMIT :reach FOR UPDATE SKIP LOCKED) head
    ), weighed AS (
        -- Within a priority the organizations take turns. A small task weighs a pack's fraction of a message.
        SELECT task_id, turn, sum(CASE WHEN light THEN 1 ELSE :pack END)
            OVER (ORDER BY priority DESC, turn, urgency DESC, task_id ROWS UNBOUNDED PRECEDING) AS load
        FROM heads
    ), picked AS (
        -- By an array, not by a join: nobody can tell the planner how short the list is, and it would read all rows.
        UPDATE outbox o SET published_at = now(), sent_to = CASE WHEN needs IS NOT NULL THEN
            (SELECT w.name {_TAKERS} ORDER BY ({_RUNNING}) / w.pool_size, random() LIMIT 1) END
        WHERE task_id = ANY(ARRAY(SELECT task_id FROM weighed WHERE load <= :reach))
            AND NOT EXISTS (SELECT FROM queues q WHERE q.name = :queue AND q.paused)
        -- What needs something shares no message: it is for one worker.
        RETURNING task_id, attempt, priority, urgency, light AND needs IS NULL AS light, sent_to
    )
    SELECT picked.*, weighed.turn FROM picked JOIN weighed USING (task_id)
    """
)


def pick(conn: Connection, queue: str, *, room: int, pack: int, alive: float) -> Rows:
    """Mark as published what may go out now, by priority and, within it, by turns between organizations.

    At most ``room`` messages' worth, where ``pack`` small tasks make one. Rows that another dispatcher holds are
    passed over, and so are tasks that need more than any worker of the last ``alive`` seconds has. Returns (task_id,
    attempt, priority, urgency, light, sent_to, turn), unordered; one with needs is for the worker ``sent_to``.
    """
    return list(conn.execute(PICK, {"queue": queue, "pack": pack, "reach": room * pack, "alive": alive}))


_FIRST = text(
    """
    SELECT head.task_id, head.attempt FROM unnest(CAST(:queues AS text[])) AS line(queue) CROSS JOIN LATERAL (
        -- One range of outbox_ready_idx for each line, in its order. What another is about to take is passed over.
        SELECT task_id, attempt, priority, urgency FROM outbox
        WHERE queue = line.queue AND organization_id = :organization_id AND published_at IS NULL
            AND (expires_at IS NULL OR expires_at > now())
        ORDER BY priority DESC, urgency DESC, task_id LIMIT :most FOR UPDATE SKIP LOCKED) head
    WHERE NOT EXISTS (SELECT FROM queues q WHERE q.name = line.queue AND q.paused)
    ORDER BY head.priority DESC, head.urgency DESC, head.task_id LIMIT :most
    """
)


def first(conn: Connection, organization_id: UUID, queues: Sequence[str], most: int) -> Rows:
    """The first of an organization's tasks in several lines together, by priority and age: (task_id, attempt).

    They are locked for the claim that follows in this transaction.
    """
    return list(conn.execute(_FIRST, {"organization_id": organization_id, "queues": list(queues), "most": most}))


_HOLD = text("SELECT task_id FROM outbox WHERE task_id = ANY(CAST(:ids AS uuid[])) ORDER BY task_id FOR UPDATE")


def hold(conn: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Lock places in line, as whoever may take them away must before it locks the task: claims do it in this order.

    Returns the tasks that have one.
    """
    return [row.task_id for row in conn.execute(_HOLD, {"ids": list(ids)})]


_QUEUES_IN_LINE = text(
    """
    SELECT name FROM unnest(CAST(:queues AS text[])) AS name
    WHERE (SELECT task_id FROM outbox WHERE queue = name AND published_at IS NULL
        ORDER BY organization_id LIMIT 1) IS NOT NULL
    """
)


def queues_in_line(conn: Connection, queues: Sequence[str]) -> list[str]:
    """Those of ``queues`` that have tasks standing in line; one index probe each."""
    return [row.name for row in conn.execute(_QUEUES_IN_LINE, {"queues": list(queues)})]


_OVERDUE = text(
    """
    SELECT queue, array_agg(task_id) AS tasks FROM outbox
    WHERE published_at < now() - make_interval(secs => :seconds)
    GROUP BY queue
    """
)


def overdue(conn: Connection, seconds: float) -> dict[str, list[UUID]]:
    """By queue, the tasks that were published over ``seconds`` ago and that nobody claimed.

    Uses outbox_rung_idx; they are no more than the dispatcher's windows hold.
    """
    return {row.queue: row.tasks for row in conn.execute(_OVERDUE, {"seconds": seconds})}


_UNPUBLISH = text(
    """
    UPDATE outbox SET published_at = NULL WHERE task_id IN (
        -- A claim that is under way keeps its rows: it is about to delete them.
        SELECT task_id FROM outbox WHERE task_id = ANY(CAST(:ids AS uuid[])) AND published_at IS NOT NULL
        ORDER BY task_id FOR UPDATE SKIP LOCKED)
    """
)


def unpublish(conn: Connection, ids: Sequence[UUID]) -> None:
    """Put tasks back in line whose message could not be sent, or was lost."""
    conn.execute(_UNPUBLISH, {"ids": list(ids)})


_UNPUBLISH_QUEUE = text("UPDATE outbox SET published_at = NULL WHERE queue = :queue AND published_at IS NOT NULL")


def unpublish_queue(conn: Connection, queue: str) -> None:
    """Put all of a paused queue's tasks back in line: their messages will find nothing to claim."""
    conn.execute(_UNPUBLISH_QUEUE, {"queue": queue})


_POSITION = text(
    """
    SELECT count(*) AS ahead FROM outbox o JOIN outbox me ON me.task_id = :task_id
    -- Agents take from their own organization's line only.
    WHERE o.queue = me.queue AND (o.organization_id = me.organization_id OR me.queue NOT LIKE 'agent:%') AND (
        (o.published_at IS NOT NULL AND me.published_at IS NULL)
        OR (o.published_at IS NULL AND me.published_at IS NULL
            AND (o.priority, o.urgency) >= (me.priority, me.urgency)
            AND ((o.priority, o.urgency) > (me.priority, me.urgency) OR o.task_id < me.task_id)))
    """
)


def position(conn: Connection, task_id: UUID) -> int:
    """How many tasks of the same queue stand before this one, by priority and age (turns not counted)."""
    return int(conn.execute(_POSITION, {"task_id": task_id}).scalar_one())
