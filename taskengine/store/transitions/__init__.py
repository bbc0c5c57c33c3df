"""The only place that writes a status column.

Every function makes a move of ``domain.states``: one statement that changes the status only where the move's source
states hold, and writes the event row with it. It returns the rows that moved; a row that is missing was lost to
somebody else, and the caller must not act on it.

Lock order, everywhere: outbox, executions, tasks by id, dependents by id, then the step or the run that they are a
part of. Doubtful rows are locked in id order, so that two statements over the same tasks wait for each other instead
of deadlocking. What concerns a whole run (pause, resume, cancel, retry, the making of children) locks the run first:
where that crosses the order above, Postgres undoes one of the two, which is then done again.

Times are those of the statement, not of the transaction: one that waited for another's end began before that end.
"""

from taskengine.store.transitions.claim import claim, hand_over
from taskengine.store.transitions.finish import finish, finish_row, lose
from taskengine.store.transitions.insert import insert
from taskengine.store.transitions.moves import move
from taskengine.store.transitions.runs import insert_run, move_run
from taskengine.store.transitions.steps import count_down, recount, release, spawn, standing, step

__all__ = [
    "claim",
    "count_down",
    "finish",
    "finish_row",
    "hand_over",
    "insert",
    "insert_run",
    "lose",
    "move",
    "move_run",
    "recount",
    "release",
    "spawn",
    "standing",
    "step",
]
