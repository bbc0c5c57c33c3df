"""Workflow definitions: register, read, check, plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from taskengine.client.run_models import Plan, RunSpec, Validation, Workflow, WorkflowSummary
from taskengine.client.tasks import segment
from taskengine.client.transport import Transport

Definition = Mapping[str, Any] | str
"""A definition as an object, or as YAML or JSON text, whose lines the faults then name."""


class Workflows:
    """The verbs of ``/v1/workflows``."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def put(self, name: str, definition: Definition) -> Workflow:
        """Register a workflow, or a new version of it; unchanged, it keeps its version.

        Invalid names each fault with its path; with its line too, if the definition is text.
        """
        return cast("Workflow", self._send("PUT", _path(name), definition))

    def get(self, name: str, version: int | None = None) -> Workflow:
        """A version of a workflow, the newest unless named."""
        return cast("Workflow", self._http.call("GET", _path(name), params={"version": version}))

    def source(self, name: str, version: int | None = None) -> str:
        """The text of a version as it was sent, with its comments."""
        return self._http.text(_path(name), {"version": version, "format": "yaml"})

    def list(self, *, limit: int | None = None) -> Iterator[WorkflowSummary]:
        """The workflows by name, each in its newest version."""
        return self._http.pages("/v1/workflows", {}, limit)

    def versions(self, name: str, *, limit: int | None = None) -> Iterator[WorkflowSummary]:
        """The versions of a workflow, newest first."""
        return self._http.pages(f"{_path(name)}/versions", {}, limit)

    def validate(self, definition: Definition) -> Validation:
        """Check a definition without storing it; what is wrong with it is in the answer, not an error."""
        return cast("Validation", self._send("POST", "/v1/workflows/validate", definition))

    def plan(self, spec: RunSpec) -> Plan:
        """In which order the steps would run, and which of them at once, without running them."""
        return cast("Plan", self._http.call("POST", "/v1/workflows/plan", body=spec))

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of definitions."""
        return cast("dict[str, Any]", self._http.call("GET", "/v1/workflows/schema"))

    def _send(self, method: str, path: str, definition: Definition) -> Any:
        if isinstance(definition, str):
            return self._http.call(method, path, yaml=definition)
        return self._http.call(method, path, body=definition)


def _path(name: str) -> str:
    return f"/v1/workflows/{segment(name)}"
