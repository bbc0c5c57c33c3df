"""A run's graph as a Mermaid flowchart: steps that hold others as subgraphs, colours by status."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

_CLASSES = {
    "completed": "fill:#d3f2d9,stroke:#2b7a3d",
    "failed": "fill:#f9d0d0,stroke:#a12626",
    "cancelled": "fill:#eadcf2,stroke:#6b3f87",
    "skipped": "fill:#eeeeee,stroke:#999999,stroke-dasharray:4",
    "running": "fill:#d0e3f9,stroke:#2659a1",
    "queued": "fill:#e6eefa,stroke:#2659a1",
    "waiting_input": "fill:#fdf0c8,stroke:#94750f",
    "deferred": "fill:#fdf0c8,stroke:#94750f",
    "retrying": "fill:#fde0c8,stroke:#a1581d",
    "paused": "fill:#f5f5f5,stroke:#555555",
    "pending": "fill:#ffffff,stroke:#888888",
}
_LONGEST = 80


def flowchart(nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]) -> str:
    """Mermaid text of nodes and edges as ``graph`` answers give them."""
    inside: dict[UUID | None, list[Mapping[str, Any]]] = defaultdict(list)
    known = {node["id"] for node in nodes}
    for node in nodes:
        inside[node["parent"] if node["parent"] in known else None].append(node)
    names = {node["id"]: f"n{number}" for number, node in enumerate(nodes)}
    lines = ["flowchart TD"]
    _draw(None, inside, names, lines, 1)
    for edge in edges:
        label = "" if edge["run_on"] == "success" else f"|{edge['run_on']}|"
        lines.append(f"  {names[edge['from']]} -->{label} {names[edge['to']]}")
    for status, style in _CLASSES.items():
        members = [names[node["id"]] for node in nodes if node["status"] == status]
        if members:
            lines += [f"  classDef {status} {style}", f"  class {','.join(members)} {status}"]
    return "\n".join(lines) + "\n"


def _draw(
    parent: UUID | None,
    inside: Mapping[UUID | None, list[Mapping[str, Any]]],
    names: Mapping[UUID, str],
    lines: list[str],
    depth: int,
) -> None:
    indent = "  " * depth
    for node in inside.get(parent, []):
        name, label = names[node["id"]], _label(node)
        if node["id"] in inside:
            lines.append(f'{indent}subgraph {name}["{label}"]')
            _draw(node["id"], inside, names, lines, depth + 1)
            lines.append(f"{indent}end")
        else:
            lines.append(f'{indent}{name}["{label}"]')


def _label(node: Mapping[str, Any]) -> str:
    text = node["name"] if len(node["name"]) <= _LONGEST else node["name"][:_LONGEST] + "…"
    plain = "".join(f"#{ord(sign)};" if sign in '"#;<>&[]{}`\\\n\r' else sign for sign in text)
    kind = "" if node["kind"] == "task" else f" ({node['kind']})"
    counts = node["children"]
    of = f" {counts.get('completed', 0)}/{counts['total']}" if counts else ""
    return f"{plain}{kind}<br/>{node['status']}{of}"
