"""The one result of an expansion, out of how its children ended, in work that grows with what they returned.

separate   a list with one entry for each child
merge      {summary, merged, metrics}: the results of the completed children in one object
single     {summary, aggregates, result}: their numbers summed up, and a template over them
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from taskengine.domain import templates
from taskengine.domain.cleaning import clean_json
from taskengine.domain.expansion import ExpansionConfig, ExpansionFault


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How one child ended. ``status`` is final; times are aware; ``error`` is {code, message, details}."""

    index: int
    identifier: str
    item: Any
    status: str
    result: Any
    error: dict[str, Any] | None
    started_at: datetime | None
    completed_at: datetime | None


class Collector:
    """Takes the children's ends in order of their index, and gives the expansion's result."""

    def __init__(self, config: ExpansionConfig, names: Mapping[str, Any] | None = None) -> None:
        """``names`` is what the ``reduce`` template sees besides results, items, summary and aggregates."""
        self._gathered: _Separate | _Merged | _Single
        match config.output_format:
            case "separate":
                self._gathered = _Separate()
            case "merge":
                self._gathered = _Merged(config.merge_strategy)
            case "single":
                self._gathered = _Single(config.reduce, names or {})
        self._last = -1

    def add(self, child: ChildEnd) -> None:
        """Each child once, by growing index; ValueError otherwise."""
        if child.index <= self._last:
            raise ValueError(f"child {child.index} comes after child {self._last}")
        self._last = child.index
        self._gathered.add(child)

    def result(self) -> Any:
        """JSON; ExpansionFault if the ``reduce`` template cannot be rendered."""
        return self._gathered.result()


class _Separate:
    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []

    def add(self, child: ChildEnd) -> None:
        entry = {
            "index": child.index,
            "identifier": child.identifier,
            "item": child.item,
            "status": child.status,
            "result": child.result,
            "error": child.error,
            "started_at": _rfc3339(child.started_at),
            "completed_at": _rfc3339(child.completed_at),
        }
        self._entries.append(entry)

    def result(self) -> list[dict[str, Any]]:
        return self._entries


class _Merged:
    def __init__(self, strategy: str) -> None:
        self._strategy = strategy
        self._counts: Counter[str] = Counter()
        self._merged: dict[str, Any] = {}
        self._durations = _Aggregate()

    def add(self, child: ChildEnd) -> None:
        self._counts[child.status] += 1
        if child.started_at is not None and child.completed_at is not None:
            self._durations.add((child.completed_at - child.started_at).total_seconds())
        if child.status == "completed" and child.result is not None:
            self._merge(child.result)

    def _merge(self, result: Any) -> None:
        if not isinstance(result, dict):
            _join(self._merged, "values", result)
        elif self._strategy == "deep":
            _merge_deep(self._merged, result)
        elif self._strategy == "concat":
            for name, value in result.items():
                _join(self._merged, name, value)
        else:
            self._merged.update(_copy(result))

    def result(self) -> dict[str, Any]:
        summary = _summary(self._counts)
        rate = summary["completed"] / summary["total"] if summary["total"] else None
        metrics = {"success_rate": rate, "duration_seconds": self._durations.as_dict()}
        return {"summary": summary, "merged": self._merged, "metrics": metrics}


class _Single:
    def __init__(self, reduce: Any, names: Mapping[str, Any]) -> None:
        self._reduce = reduce
        self._names = names
        self._counts: Counter[str] = Counter()
        self._aggregates: dict[str, _Aggregate] = {}
        # Of the completed children, side by side; only a template needs them.
        self._results: list[Any] = []
        self._items: list[Any] = []

    def add(self, child: ChildEnd) -> None:
        self._counts[child.status] += 1
        if child.status != "completed":
            return
        for field, number in _numbers(child.result, ""):
            self._aggregates.setdefault(field, _Aggregate()).add(number)
        if self._reduce is not None:
            self._results.append(child.result)
            self._items.append(child.item)

    def result(self) -> dict[str, Any]:
        summary = _summary(self._counts)
        aggregates = {field: aggregate.as_dict() for field, aggregate in self._aggregates.items()}
        return {"summary": summary, "aggregates": aggregates, "result": self._reduced(summary, aggregates)}

    def _reduced(self, summary: dict[str, int], aggregates: dict[str, Any]) -> Any:
        own = {"results": self._results, "items": self._items, "summary": summary, "aggregates": aggregates}
        try:
            return clean_json(templates.render(self._reduce, {**self._names, **own}))
        except templates.TemplateFault as fault:
            raise ExpansionFault("template_error", str(fault), "reduce") from None


class _Aggregate:
    """Count, sum, least, greatest and mean of numbers."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: float = 0
        self._min: float = math.inf
        self._max: float = -math.inf

    def add(self, number: float) -> None:
        self._count += 1
        self._sum += number
        self._min = min(self._min, number)
        self._max = max(self._max, number)

    def as_dict(self) -> dict[str, Any]:
        if not self._count:
            return {"count": 0, "sum": 0, "min": None, "max": None, "mean": None}
        return {
            "count": self._count,
            "sum": _storable(self._sum),
            "min": self._min,
            "max": self._max,
            "mean": _storable(self._sum / self._count),
        }


def _storable(number: float) -> float | None:
    """JSON in the record has integers of 64 bits, and no word for infinity: null then."""
    if isinstance(number, int):
        return number if -(2**63) <= number < 2**64 else float(number)
    return number if math.isfinite(number) else None


def _summary(counts: Mapping[str, int]) -> dict[str, int]:
    summary = {
        "total": sum(counts.values()),
        "completed": counts.get("completed", 0),
        "failed": counts.get("failed", 0) + counts.get("cancelled", 0),
    }
    return summary | {status: counts[status] for status in ("cancelled", "skipped") if counts.get(status)}


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:
    """The numeric fields of a result by dotted path; what is in lists is no field. A bare number is "value"."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _numbers(item, f"{path}.{name}" if path else name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path or "value", value


def _merge_deep(target: dict[str, Any], result: Mapping[str, Any]) -> None:
    """Objects by key, lists joined, of anything else the later. ``target`` never shares a container with a result."""
    for name, value in result.items():
        there = target.get(name)
        if isinstance(there, dict) and isinstance(value, dict):
            _merge_deep(there, value)
        elif isinstance(there, list) and isinstance(value, list):
            there.extend(value)
        else:
            target[name] = _copy(value)


def _copy(value: Any) -> Any:
    """A copy of what a later merge may change: objects in objects, and lists; not what is in lists."""
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    return list(value) if isinstance(value, list) else value


def _join(target: dict[str, Any], name: str, value: Any) -> None:
    """Put a value, or all values of a list, at the end of the list at ``name``."""
    there = target.get(name)
    if not isinstance(there, list):
        target[name] = there = [] if there is None else [there]
    there.extend(value if isinstance(value, list) else [value])


def _rfc3339(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
