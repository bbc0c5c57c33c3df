"""Registered workflows: stored in versions, read, checked, and planned without running."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import Connection

from taskengine.domain import conditions, credentials, graph, outline, templates
from taskengine.domain.documents import Document, DocumentFault, parse
from taskengine.domain.errors import FieldError, Invalid
from taskengine.domain.nodes import Node
from taskengine.domain.outline import Point
from taskengine.domain.task import Caller, Page, PageRequest
from taskengine.domain.workflow import RunSpec
from taskengine.lifecycle import query, start_run
from taskengine.lifecycle.definitions import DefinitionFault, check
from taskengine.lifecycle.engine import Engine
from taskengine.lifecycle.validate import declared_secrets
from taskengine.store import cursors, executions
from taskengine.store import workflows as store


def put(engine: Engine, caller: Caller, name: str, text: str) -> tuple[dict[str, Any], bool]:
    """Register a definition (YAML or JSON text) under its name; returns it, and whether that made a new version.

    Raises Invalid with every fault, each with its line; then nothing is stored.
    """
    document = _parsed(text)
    with engine.db.begin() as conn:
        spec, faults = check(engine, caller, document.data, document.place, start_run.known_workflows(conn, caller))
        start_run.raise_faults(faults, ())
        assert spec is not None
        if spec.name != name:
            fault = f"the definition's name is {spec.name!r}, the path says {name!r}; they must be the same"
            raise Invalid(fault, [FieldError(("name",), fault, "name_mismatch", *document.place(("name",)))])
        sealed = credentials.seal(document.data, declared_secrets(engine), engine.cipher.encrypt)
        # A source with credentials in it is not kept: it would have to be shown as it is.
        clean = sealed == document.data
        digest = hashlib.sha256(orjson.dumps(document.data)).digest()
        row, new = store.put(conn, caller.organization_id, name, sealed, text if clean else "", digest, caller.name)
    return _shown(row), new


def _parsed(text: str) -> Document:
    try:
        return parse(text)
    except DocumentFault as fault:
        error = FieldError((), fault.message, "yaml_invalid", fault.line, fault.column)
        raise Invalid(f"line {fault.line}: {fault.message}", [error]) from None


def _shown(row: Any) -> dict[str, Any]:
    definition = credentials.mask(row.definition)
    return {
        "name": row.name,
        "version": row.version,
        "description": definition.get("description"),
        "definition": definition,
        # JSON is YAML: where the text was not kept, the definition itself stands in.
        "source": row.source or orjson.dumps(definition, option=orjson.OPT_INDENT_2).decode(),
        "created_by": row.created_by,
        "created_at": row.created_at,
    }


def get(engine: Engine, caller: Caller, name: str, version: int | None) -> dict[str, Any]:
    """A workflow's version, the newest if none is named, with its definition and its text."""
    with engine.db.autocommit() as conn:
        row = store.get(conn, caller.organization_id, name, version)
    if row is None:
        raise query.missing("workflow", name if version is None else f"{name} in version {version}")
    return _shown(row)


def listing(engine: Engine, caller: Caller, page: PageRequest) -> Page:
    """The workflows by name, each in its newest version."""
    with engine.db.autocommit() as conn:
        after = cursors.decode_text(page.cursor)
        rows = store.listing(conn, caller.organization_id, after or "", page.limit + 1)
    return cursors.page(rows, page.limit, lambda row: cursors.encode_text(row.name))


def versions(engine: Engine, caller: Caller, name: str, page: PageRequest) -> Page:
    """A workflow's versions, newest first."""
    with engine.db.autocommit() as conn:
        if store.get(conn, caller.organization_id, name, None) is None:
            raise query.missing("workflow", name)
        before = cursors.decode_int(page.cursor)
        rows = store.versions(conn, caller.organization_id, name, before, page.limit + 1)
    return cursors.page(rows, page.limit, lambda row: cursors.encode_int(row.version))


def validate(engine: Engine, caller: Caller, text: str) -> dict[str, Any]:
    """Whether a definition would be taken: ``valid``, and ``errors`` with path, line, column, code and message."""
    try:
        document = parse(text)
    except DocumentFault as fault:
        found = [DefinitionFault("", fault.line, fault.column, "yaml_invalid", fault.message, ())]
    else:
        with engine.db.autocommit() as conn:
            known = start_run.known_workflows(conn, caller)
            _, found = check(engine, caller, document.data, document.place, known)
    names = ("path", "line", "column", "code", "message")
    return {"valid": not found, "errors": [{name: getattr(fault, name) for name in names} for fault in found]}


def plan(engine: Engine, caller: Caller, text: str) -> dict[str, Any]:
    """In which order a run's steps would go: order, layers that run at once, critical path, expected seconds.

    ``text`` is a definition, or what starts a run. The expectation is from past attempts of the same types; null where
    one of the critical path's types never ran. A loop counts as one round, unless the length of its list is known, a
    branch as if both were taken, and a wait for a moment, a person, a signal or a condition, or a sub-run, as no time.
    """
    document = _parsed(text)
    spec = _run_spec(document)
    with engine.db.autocommit() as conn:
        try:
            prepared = start_run.prepare(engine, conn, caller, spec)
        except Invalid as error:
            error.errors = tuple(_placed(item, document) for item in error.errors)
            raise
        flat = outline.flattened(prepared.nodes)
        typical = _typical(conn, caller, flat)
    edges = outline.edges(flat)
    layers = outline.layers(flat, edges)
    rounds = outline.rounds(flat, partial(_length, prepared.row))
    seconds = {point: _seconds(point, typical, rounds[point.place]) for point in edges}
    # Without any experience of a type, the way with the most of its tasks is the longest.
    weights = {point: rounds[point.place] if found is None else found for point, found in seconds.items()}
    critical, length = graph.critical_path(edges, weights)
    return {
        "steps": sum(len(layer) for layer in layers),
        "order": [node.path for layer in layers for node in layer],
        "layers": [[node.path for node in layer] for layer in layers],
        "critical_path": [point.node.path for point in critical if point.is_work],
        "expected_seconds": None if any(seconds[point] is None for point in critical) else length,
    }


def _length(row: Mapping[str, Any], source: Any) -> int | None:
    """How long the list of a ``for_each`` is; None if only the run will tell."""
    given = {name: row[name] for name in ("variables", "context")}
    if isinstance(source, str):
        try:
            source = templates.render(source, given) if "{{" in source else conditions.lookup(given, source)
        except templates.TemplateFault:
            return None
    return len(source) if isinstance(source, list) else None


def _seconds(point: Point, typical: Mapping[str, float], rounds: int) -> float | None:
    """How long a step itself takes in all its rounds; None for a type that never ran."""
    if not rounds:
        return 0.0
    if point.node.spec is not None:
        once = typical.get(point.node.spec.type)
        return None if once is None else once * rounds
    return float(point.node.step.get("seconds", 0)) * rounds if point.is_work else 0.0


def _placed(item: FieldError, document: Document) -> FieldError:
    """A fault with its place in the text; in one that is a definition itself, its path begins there."""
    loc = item.loc[1:] if item.loc[:1] == ("definition",) and _is_definition(document) else item.loc
    line, column = document.place(loc)
    return replace(item, loc=loc, line=line, column=column)


def _is_definition(document: Document) -> bool:
    return isinstance(document.data, dict) and "steps" in document.data


def _run_spec(document: Document) -> RunSpec:
    data = document.data
    if _is_definition(document):
        data = {"definition": data}
    try:
        return RunSpec.model_validate(data)
    except ValidationError as error:
        errors = [
            FieldError(item["loc"], item["msg"], item["type"], *document.place(item["loc"]))
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise Invalid(f"{'.'.join(map(str, errors[0].loc))}: {errors[0].msg}", errors) from None


def _typical(conn: Connection, caller: Caller, flat: Sequence[Node]) -> Mapping[str, float]:
    """How long attempts of each type usually take, for the types that have run."""
    types = {node.spec.type for node in flat if node.spec is not None}
    found = {name: executions.typical_seconds(conn, caller.organization_id, name) for name in types}
    return {name: seconds for name, seconds in found.items() if seconds is not None}
