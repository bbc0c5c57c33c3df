"""What every command has: ``--url``, ``--api-key``, ``--json``, before or after its name; examples; error reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints
from urllib.parse import urlsplit

import typer

from taskengine.cli import local
from taskengine.cli.exits import Exit
from taskengine.cli.failures import Failure, reported

if TYPE_CHECKING:
    from config.settings import Settings
    from taskengine.client import Client

F = TypeVar("F", bound=Callable[..., None])
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_SHARED: dict[str, dict[str, Any]] = {
    "url": {
        "default": None,
        "annotation": Annotated[
            str | None,
            typer.Option(
                metavar="URL",
                help="The API. Default: TASKENGINE_URL, else what runs from TASKENGINE_HOME, else port 8000 here.",
            ),
        ],
    },
    "api_key": {
        "default": None,
        "annotation": Annotated[
            str | None,
            typer.Option(
                metavar="KEY",
                help="Default: TASKENGINE_API_KEY, else what `taskengine up` left in TASKENGINE_HOME.",
            ),
        ],
    },
    "json": {
        "default": False,
        "annotation": Annotated[
            bool, typer.Option("--json", help="Print JSON on stdout, and errors as JSON on stderr.")
        ],
    },
}


@dataclass
class Options:
    """The shared options of one invocation, and what follows from them."""

    json: bool = False
    url: str | None = None
    api_key: str | None = None

    @cached_property
    def settings(self) -> Settings:
        """The settings in force; SettingsError when one is wrong."""
        from config.settings import load  # noqa: PLC0415 - 0.1 s that --help need not spend

        return load()

    @property
    def base_url(self) -> str:
        """Where the API is."""
        # What runs from this data directory may listen on a port that this shell's environment does not know.
        here = local.running(self.settings).get("api_url") if self.settings.url is None else None
        return str(self.url or here or self.settings.api_url()).rstrip("/")

    def client(self, *, patient: bool = False) -> Client:
        """A client of the API; a ``patient`` one outlasts its restart."""
        from taskengine.client import Client  # noqa: PLC0415 - 0.1 s that --help need not spend

        try:
            return Client(self.base_url, self.known_key(), retries=7 if patient else 2)
        except ValueError as error:
            raise Failure(Exit.usage, str(error), "Mend --url or TASKENGINE_URL.") from None

    def known_key(self) -> str | None:
        """The key given, else the setting, else the one that ``taskengine up`` left in the data directory."""
        if self.api_key:
            return self.api_key
        if self.settings.api_key:
            return self.settings.api_key.get_secret_value()
        # That key opens the installation of this data directory: it is not for a stranger named by --url.
        if self.url and urlsplit(self.url).hostname not in ("127.0.0.1", "::1", "localhost"):
            return None
        try:
            return (self.settings.home / "api-key").read_text().strip() or None
        except OSError:
            return None


def group(help: str, *, no_args_is_help: bool = True) -> typer.Typer:
    """A new group of commands, which takes the shared options too.

    Its help is plain: examples hold brackets, which rich would read as markup, and rich takes its time to load.
    """
    app = typer.Typer(
        help=help,
        no_args_is_help=no_args_is_help,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_CONTEXT,
    )
    app.callback()(_with_shared(_nothing))
    return app


def command(app: typer.Typer, name: str, *examples: str) -> Callable[[F], F]:
    """Decorator: hang a function ``(options, ...)`` into a group as a command, with examples below its help."""
    epilog = "\n".join(["\b", "Examples:", *(f"  $ {example}" for example in examples)])

    def register(function: F) -> F:
        app.command(name, epilog=epilog, context_settings=_CONTEXT)(_with_shared(function))
        return function

    return register


def _nothing(options: Options) -> None:
    """What a group does by itself."""


def _with_shared(function: Callable[..., None]) -> Callable[..., None]:
    """``function`` with the shared options in its signature, which is what typer reads; errors are reported."""
    hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name], kind=Parameter.KEYWORD_ONLY)
        for parameter in list(signature(function).parameters.values())[1:]
    ]

    def run(context: typer.Context, **values: Any) -> None:
        options = context.ensure_object(Options)
        for name in _SHARED:
            # Given before the command's name or after it; the later one wins.
            setattr(options, name, values.pop(name) or getattr(options, name))
        with reported(options.json):
            function(options, **values)

    shared = [Parameter(name, Parameter.KEYWORD_ONLY, **spec) for name, spec in _SHARED.items()]
    first = Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [first, *own, *shared]
    run.__doc__ = function.__doc__
    vars(run)["__signature__"] = Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
