"""Text that goes into spreadsheets: whoever names a task must not be able to make one calculate."""

from __future__ import annotations

import re

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "|", "%")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_LONGEST = 32_000
"""A cell of a spreadsheet holds 32,767 characters."""


def without_control(text: str) -> str:
    """Text without the characters that XML, and so a workbook or a drawing, cannot hold."""
    return _CONTROL.sub("", text)


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: a leading apostrophe where it would."""
    clean = without_control(text)[:_LONGEST]
    return f"'{clean}" if clean.lstrip(" ").startswith(_FORMULA) else clean
