"""The typefaces of a PDF: DejaVu where the machine has it, for its many scripts, else one that reportlab brings."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

REGULAR, BOLD = "Report", "Report-Bold"
_FOLDERS = (Path("/usr/share/fonts/truetype/dejavu"), Path("/usr/share/fonts/dejavu"), Path("/usr/share/fonts/TTF"))
_MISSING = "\u00bf"


@cache
def register() -> frozenset[int]:
    """Make the typefaces known; returns the characters that they have."""
    folder = next((folder for folder in _FOLDERS if (folder / "DejaVuSans-Bold.ttf").exists()), None)
    regular, bold = ("Vera.ttf", "VeraBd.ttf")
    if folder is not None:
        regular, bold = str(folder / "DejaVuSans.ttf"), str(folder / "DejaVuSans-Bold.ttf")
    font = TTFont(REGULAR, regular)
    pdfmetrics.registerFont(font)
    pdfmetrics.registerFont(TTFont(BOLD, bold))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    return frozenset(font.face.charToGlyph)


def printable(text: str) -> str:
    """Text with a mark for each character that the typeface lacks, and none that is not printed."""
    known = register()
    return "".join(one if ord(one) in known else _MISSING for one in text if one == " " or one.isprintable())
