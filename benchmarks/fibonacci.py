"""Work that takes a while and nothing else: 177 calls for 10, eleven million for 33."""

from __future__ import annotations


def fibonacci(number: int) -> int:
    """As it stands in books, each value computed anew."""
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


def known(number: int) -> int:
    """The same value at once, to check results with."""
    here, after = 0, 1
    for _ in range(number):
        here, after = after, here + after
    return here
