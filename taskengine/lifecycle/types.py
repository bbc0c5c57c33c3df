"""Task types, described for clients."""

from __future__ import annotations

from typing import Any

from taskengine.lifecycle.engine import Engine


def listing(engine: Engine) -> list[dict[str, Any]]:
    """Every type: queue, schemas of config and output, description, example, time limit."""
    return [
        {
            "type": handler.type_name,
            "queue": handler.queue,
            "description": handler.description,
            "config_schema": handler.Config.model_json_schema(by_alias=False),
            "output_schema": handler.Output.model_json_schema(by_alias=False),
            "example": dict(handler.example),
            "timeout_seconds": handler.timeout_seconds,
        }
        for handler in engine.registry
    ]
