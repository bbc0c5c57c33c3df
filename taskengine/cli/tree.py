"""A run as a tree of its steps: the picture of ``runs graph``, ``runs watch`` and ``run --watch``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from taskengine.cli import output

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from taskengine.client.run_models import Graph, Node, Run, RunSummary

MANY = 60
"""A tree of more steps than this leaves out what has not begun or has completed."""
_QUIET = frozenset({"pending", "completed", "skipped"})
_DONE = ("completed", "failed", "cancelled", "skipped")


@dataclass
class Step:
    """A node of a run's graph, and those within it."""

    node: Node
    within: list[Step] = field(default_factory=list)

    def name(self) -> str:
        """What people know it by."""
        return self.node["key"] or self.node["name"]

    def place(self) -> str:
        """Where it stands in the definition."""
        return self.node["path"] or self.name()

    def mark(self) -> tuple[str, int]:
        """What is news when it differs."""
        return self.node["status"], self.node["attempt"]

    def state(self, now: datetime) -> str:
        """Status, time taken, attempts beyond the first, and how far an expansion is."""
        parts = [self.node["status"]]
        if children := self.node["children"]:
            parts.append(_counts(children))
        seconds = self._seconds(now)
        if seconds is not None:
            parts.append(f"{seconds:.1f} s")
        if self.node["attempt"] > 1:
            parts.append(f"attempt {self.node['attempt']}")
        return ", ".join(parts)

    def moving(self) -> bool:
        """Whether it, or something within, is neither untouched nor well done."""
        return self.node["status"] not in _QUIET or any(step.moving() for step in self.within)

    def _seconds(self, now: datetime) -> float | None:
        if self.node["started_at"] is None:
            return None
        end = self.node["completed_at"]
        begun = datetime.fromisoformat(self.node["started_at"])
        # The server's clock may be ahead of this one.
        return max(0.0, ((datetime.fromisoformat(end) if end else now) - begun).total_seconds())


def _counts(children: Mapping[str, int]) -> str:
    total = children.get("total", 0)
    ended = sum(children.get(status, 0) for status in _DONE)
    bad = [f"{children[status]} {status}" for status in ("failed", "cancelled") if children.get(status)]
    return f"{ended}/{total}" + (f" ({', '.join(bad)})" if bad else "")


def grown(graph: Graph) -> list[Step]:
    """The steps that stand at the top, each with those within it, in the order of the graph."""
    steps = {node["id"]: Step(node) for node in graph["nodes"]}
    top: list[Step] = []
    for step in steps.values():
        holder = steps.get(step.node["parent"] or "")
        (holder.within if holder else top).append(step)
    return top


def walk(steps: Iterable[Step]) -> Iterator[Step]:
    """All steps, those within after their holder."""
    for step in steps:
        yield step
        yield from walk(step.within)


def picture(run: Run, steps: list[Step], *, whole: bool = False) -> Tree:
    """The run and its steps, with their states in colours; ``whole`` leaves nothing out, however many there are."""
    from rich.tree import Tree  # noqa: PLC0415 - takes 0.1 s that other commands need not spend

    tree = Tree(_label(run["name"], run["status"], f"{run['status']}, {progress(run)}"))
    crowded = not whole and sum(1 for _ in walk(steps)) > MANY
    _hang(tree, steps, datetime.now(UTC), crowded=crowded)
    return tree


def _hang(tree: Tree, steps: list[Step], now: datetime, *, crowded: bool) -> None:
    for step in steps:
        if not crowded or step.moving():
            branch = tree.add(_label(step.name(), step.node["status"], step.state(now)))
            _hang(branch, step.within, now, crowded=crowded)


def _label(name: str, status: str, state: str) -> Text:
    from rich.text import Text  # noqa: PLC0415 - see picture

    return output.cell(f"{name}  ") + Text(state, output.STYLES.get(status, ""))


def progress(run: RunSummary) -> str:
    """How many of the run's tasks are in each status."""
    counts = run["progress"]
    parts = [f"{count} {status}" for status, count in counts.items() if status != "total" and count]
    return ", ".join([output.counted(counts.get("total", 0), "task"), *parts])
