"""Many things of a kind: the table or list that has what is wanted of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from taskengine.domain.errors import PermanentError
from workers.browser.extract_config import TableSpec
from workers.browser.extract_document import Document
from workers.browser.extract_found import (
    CLEAR,
    Candidate,
    Found,
    Plan,
    chosen,
    name_of,
    said_of_list,
    said_of_table,
    trust_in,
)
from workers.browser.extract_lists import path_of
from workers.browser.extract_request import Request, Wanted, fit
from workers.browser.extract_slots import all_slots, best_slot, slot_spec
from workers.browser.extract_tables import Table, choose_table


def all_about(found: Found) -> Plan | None:
    """All about the things that were named, where nothing was said of what about them."""
    return chosen(found, [*_in_tables(found, [], {}), *_in_lists(found, [], {})])


def choose_many(found: Found, keys: Mapping[Wanted, str] | None = None) -> Plan | None:
    """The table or list that has everything that is wanted; its fields are named by ``keys``, else by the words."""
    request = found.request
    wanted = list(request.wanted)
    if "title" in request.specials and wanted:
        wanted.insert(0, Wanted("title", ("title",)))
    names = keys or {one: name_of(one, request) for one in wanted}
    return chosen(found, [*_in_tables(found, wanted, names), *_in_lists(found, wanted, names)])


def _in_tables(found: Found, wanted: Sequence[Wanted], keys: Mapping[Wanted, str]) -> Iterable[Candidate]:
    for table in found.tables:
        if table.sideways or not table.heading_rows:
            continue
        # Of things alone: "all orders" is a table called so; "all names" rather its column than all of it.
        around = table.caption if not wanted else f"{table.caption} {' '.join(table.headings)}"
        trust = trust_in(found, around)
        if not wanted:
            if trust > 0:
                yield Candidate(0.75 + trust, {"table": table_spec(found.document, table)}, said_of_table(table))
            continue
        columns: Plan = {}
        scores = []
        for one in wanted:
            heading, score = _best_heading(one, found.request, table)
            if heading is not None:
                columns[keys[one]] = heading
            scores.append(score)
        if min(scores) >= 0.55 and len(columns) == len(wanted):
            spec = {**table_spec(found.document, table), "columns": columns}
            yield Candidate(sum(scores) / len(scores) + trust, {"table": spec}, said_of_table(table))


def _best_heading(one: Wanted, request: Request, table: Table) -> tuple[str | None, float]:
    ranked = sorted(((fit(one.words, request.entity, text), text) for text in table.headings if text), reverse=True)
    if not ranked or (len(ranked) > 1 and ranked[1][0] > ranked[0][0] - CLEAR and ranked[0][0] > 0):
        return None, 0.0
    return ranked[0][1], ranked[0][0]


def table_spec(document: Document, table: Table) -> Plan:
    """How to find this table again: by its headings or its caption, and by its place if these do not tell."""
    headings = [text for text in table.headings if text]
    ways: list[Plan] = [{"headings": list(headings)}] if headings else []
    if table.caption:
        ways += [{"caption": table.caption}, {"caption": table.caption, "headings": list(headings)}]
    for way in ways:
        try:
            if choose_table(document, TableSpec.model_validate(way)).node is table.node:
                return way
        except (PermanentError, ValueError):
            continue
    return {"selector": path_of(table.node)}


def _in_lists(found: Found, wanted: Sequence[Wanted], keys: Mapping[Wanted, str]) -> Iterable[Candidate]:
    for items in found.lists:
        trust = trust_in(found, f"{items.names} {items.heading}") - (0.25 if items.beside else 0.0)
        if not wanted:
            fields = all_slots(items)
            if trust > 0 and fields:
                plan: Plan = {"records": {"selector": items.selector, "fields": fields}}
                yield Candidate(0.7 + trust, plan, said_of_list(items))
            continue
        chosen: Plan = {}
        scores = []
        for one in wanted:
            slot, score = best_slot(one, found.request, items)
            if slot is not None:
                chosen[keys[one]] = slot_spec(one, slot)
            scores.append(score)
        if min(scores) >= 0.5 and len(chosen) == len(wanted):
            plan = {"records": {"selector": items.selector, "fields": chosen}}
            yield Candidate(sum(scores) / len(scores) + trust, plan, said_of_list(items))
