"""What templates and conditions may name: a run's context and variables, results of what has ended, a child's item.

Everything is looked up when it is asked for, and remembered for as long as the one evaluation lasts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cached_property, partial
from typing import Any
from uuid import UUID

from taskengine.domain import conditions, credentials, templates
from taskengine.domain.cleaning import clean_json
from taskengine.domain.conditions import MISSING
from taskengine.domain.errors import PermanentError
from taskengine.domain.redaction import Redactor
from taskengine.lifecycle.engine import Engine
from taskengine.store import runs, steps

_ITERATION = re.compile(r"\[\d+\]\.")


class Lookup(Mapping[str, Any]):
    """Names whose values are fetched one by one, when they are asked for."""

    def __init__(self, get: Callable[[str], Any], listed: Callable[[], Iterable[str]] = tuple) -> None:
        self._get = get
        self._listed = listed
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self._get(name)
        if self._known[name] is MISSING:
            raise KeyError(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed())

    def __len__(self) -> int:
        return len(list(self._listed()))


class Names:
    """The names that one row sees. ``row`` has id (of a claimed one task_id), run_id, parent_id, path, bindings, input.

    ``seen`` hears every credential that is among the values, so that it can be redacted; ``credentials`` keeps them.
    """

    def __init__(self, engine: Engine, row: Any, seen: Callable[[str], None] = lambda _: None) -> None:
        self._engine = engine
        self._seen = seen
        self.credentials: set[str] = set()
        self._task_id: UUID = row.task_id if hasattr(row, "task_id") else row.id
        self._run_id: UUID | None = row.run_id
        self._parent_id: UUID | None = row.parent_id
        self._own_input: dict[str, Any] | None = row.input
        self._path: str | None = row.path
        self._row: Any = None
        self.all: dict[str, Any] = {
            "now": engine.clock(),
            "tasks": Lookup(self._ended, self._keys),
            "context": Lookup(self._field, self._keys),
            "variables": Lookup(self._variable, lambda: self._run.variables if self._run_id else ()),
            "input": Lookup(self._of_input, lambda: self._input),
            **self._clear(row.bindings or {}),
        }
        if self._run_id is not None:
            self.all["run"] = Lookup(self._of_run, lambda: ("id", "name"))

    def _of_run(self, name: str) -> Any:
        return {"id": str(self._run_id), "name": self._run.name}.get(name, MISSING)

    def _clear(self, value: Any) -> Any:
        return credentials.unseal(value, self._engine.cipher.decrypt, self._note)

    def _note(self, credential: str) -> None:
        self.credentials.add(credential)
        self._seen(credential)

    def _of_input(self, name: str) -> Any:
        return self._clear(self._input[name]) if name in self._input else MISSING

    @cached_property
    def _input(self) -> dict[str, Any]:
        """The row's own input, or that of the expansion that it is a child of."""
        return self._expansion[1] if self._own_input is None else self._own_input

    @cached_property
    def _expansion(self) -> _Expansion:
        """Path and input of the expansion that the row is a child of, if it is one."""
        if self._parent_id is None:
            return None, {}
        with self._engine.db.autocommit() as conn:
            return _expansion_of(self._parent_id, partial(steps.expansion, conn))

    @property
    def _run(self) -> Any:
        if self._row is None:
            assert self._run_id is not None
            with self._engine.db.autocommit() as conn:
                self._row = runs.names(conn, self._run_id)
        return self._row

    def _keys(self) -> Iterable[str]:
        if self._run_id is None:
            return ()
        with self._engine.db.autocommit() as conn:
            return {*self._run.context, *steps.run_results(conn, self._run_id)}

    @cached_property
    def _prefixes(self) -> list[str]:
        """A child of an expansion stands where its expansion does; its own path is only its identifier."""
        return _prefixes(self._expansion[0] or self._path)

    def _ended(self, key: str) -> Any:
        """The end of a task or step by its key: of the own iteration, if it is in one, else the newest."""
        with self._engine.db.autocommit() as conn:
            if self._run_id is None:
                # What a child of an expansion comes after is what its expansion does.
                either = (self._task_id, self._parent_id)
                ends = (steps.upstream(conn, task_id, key) for task_id in either if task_id is not None)
                row = next((item for item in ends if item is not None), None)
            else:
                found = (steps.latest(conn, self._run_id, key, prefix) for prefix in self._prefixes)
                row = next((item for item in found if item is not None), None)
        if row is None:
            return MISSING
        names = {"started_at": row.started_at, "completed_at": row.completed_at}
        return {"status": row.status, "result": row.result, "error": row.last_error, **names}

    def _field(self, name: str) -> Any:
        ended = self.all["tasks"].get(name)
        if ended is not None and ended["status"] == "completed":
            return ended["result"]
        return self._clear(self._run.context.get(name, MISSING)) if self._run_id is not None else MISSING

    def _variable(self, name: str) -> Any:
        return self._clear(self._run.variables.get(name, MISSING)) if self._run_id is not None else MISSING

    def value_of(self, path: str) -> Any:
        """What a condition's field stands for, a time as RFC 3339 text; MISSING if there is nothing."""
        found = conditions.lookup(self.all, path)
        return found.isoformat().replace("+00:00", "Z") if isinstance(found, datetime) else found

    def source(self, path: str) -> Any:
        """What an array mapping or ``for_each`` names: a template, or a path; of the input before the context."""
        if "{{" in path:
            return self.render(path)
        found = conditions.find(self.all["input"], path)
        return self.value_of(path) if found is MISSING else found

    def render(self, value: Any) -> Any:
        """A JSON value with its templates rendered; PermanentError ``template_error`` names the template at fault."""
        try:
            # What comes of it is stored: a number or a character that the record refuses must not undo more than this.
            return clean_json(templates.render(value, self.all))
        except templates.TemplateFault as error:
            raise PermanentError("template_error", self.hide(str(error))) from error

    def holds(self, condition: conditions.Condition) -> bool:
        """Whether a condition holds now; PermanentError ``condition_error`` when it cannot be decided."""
        try:
            return conditions.evaluate(condition, self.value_of, self.render)
        except conditions.ConditionFault as error:
            raise PermanentError("condition_error", self.hide(str(error)), {"field": error.field}) from error

    def holds_yet(self, condition: conditions.Condition) -> bool:
        """:meth:`holds`, for those who wait: what is not there yet may come."""
        try:
            return conditions.evaluate(condition, self.value_of, self.render)
        except conditions.MissingValue:
            return False
        except conditions.ConditionFault:
            return self.holds(condition)

    def hide(self, value: Any) -> Any:
        """A JSON value, to be shown to people, with ``***`` for every credential that was among the values."""
        redactor = Redactor()
        for credential in self.credentials:
            redactor.add(credential)
        return redactor.json(value)


_Expansion = tuple[str | None, dict[str, Any]]
_newest: tuple[UUID, _Expansion] | None = None


def _expansion_of(parent: UUID, read: Callable[[UUID], _Expansion]) -> _Expansion:
    """An expansion's path and input, which never change; the newest is kept: its children come one after the other."""
    global _newest  # noqa: PLW0603 - one for the process, whatever rows it works on
    newest = _newest
    if newest is None or newest[0] != parent:
        # Another thread may put its own there at any moment.
        _newest = newest = (parent, read(parent))
    return newest[1]


def _prefixes(path: str | None) -> list[str]:
    """Where to look for a key: in the innermost iteration that the row is in, then further out, in the group (two
    groups may each have a task of that key), then anywhere.
    """
    path = path or ""
    inner = [path[: match.end()] for match in reversed([*_ITERATION.finditer(path)])]
    group, dot, _ = path.partition(".")
    return list(dict.fromkeys([*inner, group + dot if dot else "", ""]))
