"""The children of an expansion, made lazily and in one fixed order: of a million there is only ever one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskengine.domain import matrix, templates
from taskengine.domain.cleaning import clean_json
from taskengine.domain.comparisons import kind
from taskengine.domain.conditions import MISSING, ConditionFault, compare, evaluate, find, lookup, parse_filter
from taskengine.domain.errors import FieldError
from taskengine.domain.expansion import RESERVED, ExpansionConfig, ExpansionFault
from taskengine.domain.templates import TemplateFault

MAX_IDENTIFIER = 200

_IDENTIFYING = ("id", "key", "name", "identifier")
_SHOWN_FAULTS = 5
_SHOWN_NAMES = 20


@dataclass(frozen=True, slots=True)
class Child:
    """One child to be: its place from 0, a label, what it works on, and the names its templates see."""

    index: int
    identifier: str
    item: Any
    names: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Draft:
    """What tells one child from the others. ``fields`` become its names, ``label`` its identifier by default."""

    item: Any
    fields: dict[str, Any]
    label: str | None


Unmet = Callable[[dict[str, Any], Any, int], Sequence[FieldError]]
"""(schema, value, at most so many) to where the value does not meet the schema."""


def children(
    config: ExpansionConfig,
    values: Mapping[str, Any],
    *,
    names: Mapping[str, Any] | None = None,
    unmet: Unmet | None = None,
    start: int = 0,
) -> Iterator[Child]:
    """The children in order, from number ``start``, one at a time.

    ``values`` holds what stands at each of ``expansion.sources`` (absent or MISSING: nothing), ``names`` what templates
    and conditions see besides the child's own names, ``unmet`` checks ``validation`` and must be given if there is one.
    Raises ExpansionFault, for a fault of a single child not before its turn.
    """
    around = dict(names or {})
    match config.type:
        case "array":
            drafts = _array(config, values, start)
        case "matrix":
            drafts = _matrix(config, values, start)
        case "custom":
            drafts = _custom(config, values, around, start)
    for index, draft in enumerate(drafts, start):
        own = _names(draft, index)
        if config.validation is not None:
            _validate(config.validation, index, draft.item, unmet)
        yield Child(index, _identifier(config.identifier, draft, index, own, around), draft.item, own)


def total(config: ExpansionConfig, values: Mapping[str, Any], *, names: Mapping[str, Any] | None = None) -> int | None:
    """How many children there will be; None if only making them tells. Raises ExpansionFault as ``children`` does."""
    match config.type:
        case "array":
            return _common_length(_arrays(config, values))
        case "matrix":
            return None if config.include or config.exclude else matrix.size(_arrays(config, values))
        case "custom":
            data = _data(config, values, names or {})
            return None if config.conditions else matrix.size({name: data[name] for name in _combine(config)})


def fault(config: ExpansionConfig, known: Mapping[str, Any]) -> ExpansionFault | None:
    """What is wrong with those arrays (or with a custom expansion's data) that are known before it begins."""
    if not known:
        return None
    mapping = {name: source for name, source in config.array_mapping.items() if name in known}
    # Entries to include or exclude would keep the arrays from being looked at.
    judged = config.model_copy(update={"array_mapping": mapping, "include": [], "exclude": []})
    try:
        total(judged, known)
    except ExpansionFault as found:
        return found
    return None


def _array(config: ExpansionConfig, values: Mapping[str, Any], start: int) -> Iterator[_Draft]:
    arrays = _arrays(config, values)
    only = next(iter(arrays.values())) if len(arrays) == 1 else None
    for place in range(start, _common_length(arrays)):
        fields = {name: array[place] for name, array in arrays.items()}
        item = fields if only is None else only[place]
        yield _Draft(item, fields, _label(item))


def _matrix(config: ExpansionConfig, values: Mapping[str, Any], start: int) -> Iterator[_Draft]:
    dimensions = _arrays(config, values)
    labels = _Labels(dimensions, config.include)
    for cell in matrix.cells(dimensions, config.include, config.exclude, start):
        yield _Draft(cell.values, cell.values, labels.of(cell))


def _custom(
    config: ExpansionConfig, values: Mapping[str, Any], around: Mapping[str, Any], start: int
) -> Iterator[_Draft]:
    data = _data(config, values, around)
    combined = {name: data[name] for name in _combine(config)}
    labels = _Labels(combined)
    hidden = RESERVED | {"item"}
    # Conditions decide which number a child has: with them, those before it have to be made too.
    index = 0 if config.conditions else start
    for cell in matrix.cells(combined, start=index):
        item = data | cell.values
        fields = {name: value for name, value in item.items() if name not in hidden}
        draft = _Draft(item, fields, labels.of(cell))
        if config.field_mappings:
            mapped = _mapped(config.field_mappings, draft, index, around)
            draft = _Draft(mapped, fields | mapped, draft.label)
        if _is_kept(config, draft, index, around):
            if index >= start:
                yield draft
            index += 1


def _names(draft: _Draft, index: int) -> dict[str, Any]:
    return {**draft.fields, "item": draft.item, "index": index}


def _mapped(mappings: Mapping[str, Any], draft: _Draft, index: int, around: Mapping[str, Any]) -> dict[str, Any]:
    names = {**around, **_names(draft, index)}
    mapped = {}
    for field, template in mappings.items():
        try:
            mapped[field] = clean_json(templates.render(template, names))
        except TemplateFault as fault:
            raise ExpansionFault("template_error", f"child {index}: {fault}", f"field_mappings.{field}") from None
    return mapped


def _is_kept(config: ExpansionConfig, draft: _Draft, index: int, around: Mapping[str, Any]) -> bool:
    names = {**around, **_names(draft, index)}
    for number, condition in enumerate(config.conditions):
        try:
            if not evaluate(condition, lambda path: lookup(names, path), lambda value: templates.render(value, names)):
                return False
        except (ConditionFault, TemplateFault) as fault:
            raise ExpansionFault("condition_error", f"child {index}: {fault}", f"conditions.{number}") from None
    return True


def _validate(schema: dict[str, Any], index: int, item: Any, unmet: Unmet | None) -> None:
    if unmet is None:
        raise TypeError("children of a config with validation need unmet, which checks it")
    if faults := unmet(schema, item, _SHOWN_FAULTS):
        places = ("item." + ".".join(map(str, fault.loc)) if fault.loc else "item" for fault in faults)
        text = "; ".join(f"{place}: {fault.msg}" for place, fault in zip(places, faults, strict=True))
        raise ExpansionFault("invalid_child", f"child {index} does not meet the schema: {text}", "validation")


def _arrays(config: ExpansionConfig, values: Mapping[str, Any]) -> dict[str, list[Any]]:
    arrays = {}
    for name, source in config.array_mapping.items():
        value = values.get(name, source if isinstance(source, list) else MISSING)
        arrays[name] = _as_array(value, name, source, f"array_mapping.{name}")
    return arrays


def _as_array(value: Any, name: str, source: Any, field: str) -> list[Any]:
    where = "the literal value" if isinstance(source, list) else repr(source)
    if value is MISSING:
        raise ExpansionFault("nothing_found", f"{name} needs an array, and there is nothing at {where}", field)
    if not isinstance(value, list):
        raise ExpansionFault("not_an_array", f"{name} needs an array, and {where} is {kind(value)}", field)
    return value


def _common_length(arrays: Mapping[str, list[Any]]) -> int:
    (first, *others) = arrays
    for name in others:
        if len(arrays[name]) != len(arrays[first]):
            raise ExpansionFault(
                "unequal_lengths",
                f"arrays side by side must be of one length, and {first} has {len(arrays[first])} values, "
                f"{name} has {len(arrays[name])}; for every combination use type matrix",
                f"array_mapping.{name}",
            )
    return len(arrays[first])


def _combine(config: ExpansionConfig) -> list[str]:
    return config.transform_rules.combine


def _data(config: ExpansionConfig, values: Mapping[str, Any], around: Mapping[str, Any]) -> dict[str, Any]:
    """The object of a custom expansion, its arrays filtered; what ``combine`` names are arrays."""
    data = values.get("data", MISSING)
    if data is MISSING:
        raise ExpansionFault(
            "nothing_found", f"needs an object of arrays, and there is nothing at {config.data!r}", "data"
        )
    if not isinstance(data, dict):
        text = f"needs an object of arrays, and {config.data!r} is {kind(data)}"
        raise ExpansionFault("not_an_object", text, "data")
    filtered = dict(data)
    for name, rule in config.transform_rules.filter.items():
        field = f"transform_rules.filter.{name}"
        filtered[name] = _filter(name, _array_in(data, name, config.data, field), rule, field, around)
    for name in _combine(config):
        filtered[name] = _array_in(filtered, name, config.data, "transform_rules.combine")
    return filtered


def _array_in(data: Mapping[str, Any], name: str, path: str, field: str) -> list[Any]:
    if name not in data:
        known = ", ".join(list(data)[:_SHOWN_NAMES]) or "no names"
        raise ExpansionFault("unknown_name", f"{path!r} does not hold {name!r}; it holds {known}", field)
    return _as_array(data[name], name, f"{path}.{name}", field)


def _filter(name: str, values: list[Any], rule: Any, field: str, around: Mapping[str, Any]) -> list[Any]:
    try:
        operator, expected = parse_filter(templates.render(rule, around))
        return [value for place, value in enumerate(values) if compare(operator, value, expected, f"{name}.{place}")]
    except (ConditionFault, TemplateFault, ValueError) as fault:
        raise ExpansionFault("condition_error", str(fault), field) from None


def _label(value: Any) -> str | None:
    """A value as a label: a scalar as text, an object by the first field that identifies it; None if nothing does."""
    if isinstance(value, dict):
        return next((text for name in _IDENTIFYING if (text := _scalar(value.get(name)))), None)
    return "null" if value is None else _scalar(value) or None


def _scalar(value: Any) -> str | None:
    if value is None or isinstance(value, dict | list):
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Labels:
    """Labels of cells: the labels of their values, joined so that no two combinations of them look alike."""

    def __init__(self, dimensions: matrix.Dimensions, include: matrix.Entries = ()) -> None:
        self._dimensions = dimensions
        self._joint = ""
        for name in list(dimensions)[:-1]:
            widths = {len(_part(value, place)) for place, value in enumerate(dimensions[name])}
            widths |= {len(_part(entry[name], 0)) for entry in include if name in entry}
            if len(widths) > 1:
                self._joint = "-"

    def of(self, cell: matrix.Cell) -> str | None:
        """None for a cell of no values."""
        values, places = cell.values, cell.positions
        if places is None:
            joint = self._joint if values.keys() == self._dimensions.keys() else "-"
            ordered = {name: values[name] for name in self._dimensions if name in values} | values
            return joint.join(_part(value, 0) for value in ordered.values())
        return (
            self._joint.join(_part(values[name], place) for name, place in zip(self._dimensions, places, strict=True))
            or None
        )


def _part(value: Any, place: int) -> str:
    return _label(value) or str(place)


def _identifier(
    wanted: str | None, draft: _Draft, index: int, own: Mapping[str, Any], around: Mapping[str, Any]
) -> str:
    if wanted is None:
        text = draft.label
    elif "{{" in wanted:
        try:
            text = _scalar(clean_json(templates.render(wanted, {**around, **own})))
        except TemplateFault as fault:
            raise ExpansionFault("template_error", f"child {index}: {fault}", "identifier") from None
    else:
        found = find(own, wanted)
        found = find(draft.item, wanted) if found is MISSING else found
        if found is MISSING or isinstance(found, dict | list):
            what = "nothing" if found is MISSING else kind(found)
            text = f"child {index} has {what} at {wanted!r}; an identifier is a text or a number"
            raise ExpansionFault("no_identifier", text, "identifier")
        text = _scalar(found)
    return (text or str(index))[:MAX_IDENTIFIER]
