"""The cells of a matrix: every combination, less ``exclude``, plus ``include``, as GitHub Actions documents them.

Which entries of ``exclude`` and ``include`` fit a cell is told by one bit for each entry: a value of a dimension has a
mask of the entries it fits, and a cell fits those in all masks of its values. So a million cells cost a million times a
few operations on integers, however many entries there are, and only one cell is held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import Any

Dimensions = Mapping[str, Sequence[Any]]
Entries = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination. ``positions`` is its place in each dimension, None for a cell that ``include`` added."""

    positions: tuple[int, ...] | None
    values: dict[str, Any]


def size(dimensions: Dimensions) -> int:
    """How many combinations there are; of no dimensions there is one, the empty one."""
    return prod(map(len, dimensions.values()))


def cells(dimensions: Dimensions, include: Entries = (), exclude: Entries = (), start: int = 0) -> Iterator[Cell]:
    """The cells from number ``start``: the first dimension varies slowest, cells that ``include`` adds come last.

    An entry of ``include`` adds its keys to every combination whose values it would not change, or else is a cell of
    its own. Without dimensions every entry is one. Skipping to ``start`` is free without entries.
    """
    if include or exclude:
        return islice(_changed(dimensions, include, exclude), start, None)
    return _combinations(dimensions, start)


def _combinations(dimensions: Dimensions, start: int) -> Iterator[Cell]:
    sizes = [len(values) for values in dimensions.values()]
    for number in range(start, prod(sizes)):
        positions = _positions(sizes, number)
        pairs = zip(dimensions.items(), positions, strict=True)
        yield Cell(positions, {name: values[position] for (name, values), position in pairs})


def _positions(sizes: Sequence[int], number: int) -> tuple[int, ...]:
    positions = []
    for length in reversed(sizes):
        number, position = divmod(number, length)
        positions.append(position)
    return tuple(reversed(positions))


def _changed(dimensions: Dimensions, include: Entries, exclude: Entries) -> Iterator[Cell]:
    left_out, extended = _Fits(dimensions, exclude), _Fits(dimensions, include)
    added = [{name: value for name, value in entry.items() if name not in dimensions} for entry in include]
    unused = (1 << len(include)) - 1
    for cell in _combinations(dimensions, 0) if dimensions else ():
        assert cell.positions is not None
        if left_out.mask(cell.positions):
            continue
        fitting = extended.mask(cell.positions)
        unused &= ~fitting
        for number in _bits(fitting):
            cell.values.update(added[number])
        yield cell
    for number in _bits(unused):
        yield Cell(None, dict(include[number]))


class _Fits:
    """Which of the entries fit a combination, as bits."""

    def __init__(self, dimensions: Dimensions, entries: Entries) -> None:
        self._all = (1 << len(entries)) - 1
        # For each dimension: the entries that do not speak of it, and the masks of the values that entries name.
        self._masks = [_masks(name, values, entries) for name, values in dimensions.items()]

    def mask(self, positions: tuple[int, ...]) -> int:
        fitting = self._all
        for (silent, named), position in zip(self._masks, positions, strict=True):
            fitting &= named.get(position, silent)
        return fitting


def _masks(name: str, values: Sequence[Any], entries: Entries) -> tuple[int, dict[int, int]]:
    silent = 0
    by_value: dict[Any, int] = {}
    for number, entry in enumerate(entries):
        if name in entry:
            key = _hashable(entry[name])
            by_value[key] = by_value.get(key, 0) | 1 << number
        else:
            silent |= 1 << number
    if not by_value:
        return silent, {}
    keys = ((position, _hashable(value)) for position, value in enumerate(values))
    return silent, {position: silent | by_value[key] for position, key in keys if key in by_value}


def _hashable(value: Any) -> Any:
    """Equal for the same JSON values only: 1 and 1.0 are the same, 1 and true are not."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, list):
        return ("list", tuple(map(_hashable, value)))
    if isinstance(value, dict):
        return ("object", frozenset((name, _hashable(item)) for name, item in value.items()))
    return value


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
