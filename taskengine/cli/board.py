"""What is redrawn in place while something is followed: on a terminal only."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from taskengine.cli import output

if TYPE_CHECKING:
    from rich.live import Live


class LiveBoard:
    """Base of boards on stderr. ``_live`` is None in a pipe, and where silence was asked for.

    ``options`` are those of rich's Live.
    """

    def __init__(self, *, silent: bool, **options: Any) -> None:
        self._silent = silent
        self._options = options
        self._live: Live | None = None

    def __enter__(self) -> Self:
        console = output.console(stderr=True)
        if console.is_terminal and not self._silent:
            from rich.live import Live  # noqa: PLC0415 - on a terminal only

            self._live = Live(console=console, refresh_per_second=8, **self._options)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
