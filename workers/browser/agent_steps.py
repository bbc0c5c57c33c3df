"""The actions of engine v1: how they are kept for a replay, and the browser steps that they become."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from workers.browser.acting import Acting

Action = Literal[
    "navigate", "click", "type", "type_code", "select", "check", "uncheck", "press", "hover", "scroll_down",
    "scroll_up", "wait", "extract", "done", "give_up",
]  # fmt: skip
POINTING = frozenset({"click", "type", "type_code", "select", "check", "uncheck", "hover"})
"""Actions that are about an element."""


@dataclass(slots=True)
class Made:
    """A decision as it is kept: the element by what it is, texts with their placeholders."""

    action: str
    text: str | None
    spec: dict[str, Any] | None = None
    role: str = ""
    name: str = ""
    element: dict[str, Any] | None = None
    """What must still hold of the element (``locating.description_of``)."""

    def told(self) -> str:
        """In a few words."""
        target = f" {self.role} {self.name!r}" if self.role else ""
        return f"{self.action}{target}" + (f" {self.text!r}" if self.text else "")

    def as_dict(self) -> dict[str, Any]:
        """As JSON; ``Made(**it)`` is the decision again."""
        return asdict(self)


def browser_step(acting: Acting, made: Made) -> dict[str, Any]:
    """The browser step of a decision, its placeholders filled."""
    text = acting.filled(made.text) if made.text is not None else ""
    spec = made.spec or {}
    schema = acting.config.data_schema
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "navigate": ("navigate", {"url": text, "allow_status": True}),
        "click": ("click", spec),
        "hover": ("hover", spec),
        "type": ("type", {**spec, "text": text}),
        "type_code": ("type", {**spec, "totp": {"identifier": acting.config.totp_identifier or ""}}),
        "select": ("select", {**spec, "value": text}),
        "check": ("check", {**spec, "checked": True}),
        "uncheck": ("check", {**spec, "checked": False}),
        "press": ("press", {"keys": text or "Enter"}),
        "scroll_down": ("scroll", {"y": 600}),
        "scroll_up": ("scroll", {"y": -600}),
        "wait": ("wait", {"text": text} if text else {"duration": 1000}),
        "extract": (
            "extract",
            {"instruction": text or acting.config.prompt} | ({} if schema is None else {"schema": schema}),
        ),
    }
    kind, config = kinds[made.action]
    return {"type": kind, "config": config}
