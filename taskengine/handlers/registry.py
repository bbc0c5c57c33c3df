"""Task types by name: those that packages announce as entry points, and those registered in code."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from taskengine.handlers.base import Handler

ENTRY_POINT_GROUP = "taskengine.handlers"

_decorated: dict[str, type[Handler[Any]]] = {}


class DuplicateType(Exception):
    """Two different classes claim the same type name."""


def handler(cls: type[Handler[Any]]) -> type[Handler[Any]]:
    """Class decorator: make a task type known to every registry built afterwards."""
    known = _decorated.setdefault(cls.type_name, cls)
    if known is not cls:
        raise DuplicateType(f"task type {cls.type_name!r} is claimed by {known.__qualname__} and {cls.__qualname__}")
    return cls


class Registry:
    """The task types of one process."""

    def __init__(self, handlers: list[Handler[Any]]) -> None:
        self._by_type = {item.type_name: item for item in handlers}

    def get(self, type_name: str) -> Handler[Any] | None:
        """The handler of a type, or None."""
        return self._by_type.get(type_name)

    def __iter__(self) -> Iterator[Handler[Any]]:
        return iter(sorted(self._by_type.values(), key=lambda item: item.type_name))

    def names(self) -> list[str]:
        """All type names, sorted."""
        return sorted(self._by_type)


def load() -> Registry:
    """Build the registry from entry points of installed packages and from ``@handler`` classes."""
    found: dict[str, type[Handler[Any]]] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        cls = point.load()
        if found.setdefault(cls.type_name, cls) is not cls:
            raise DuplicateType(f"task type {cls.type_name!r} is announced twice; one is {point.value}")
    for name, cls in _decorated.items():
        if found.setdefault(name, cls) is not cls:
            raise DuplicateType(f"task type {name!r} is both an entry point and decorated")
    return Registry([cls() for cls in found.values()])
