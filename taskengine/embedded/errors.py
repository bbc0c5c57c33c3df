"""Why a start failed, in one line that tells the reader what to change."""

from __future__ import annotations

EXIT_KEY_UNKNOWN = 3
"""How ``prepare`` ends when all is ready, but HOME has no key that the database knows (it was made elsewhere)."""


class StartError(Exception):
    """The installation cannot start as it is set up; the text is the one line to show."""
