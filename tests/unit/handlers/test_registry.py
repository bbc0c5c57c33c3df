"""Task types are found by entry point or decorator, and each name once."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

import pytest

from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers import registry
from taskengine.handlers.base import Context, Handler, HandlerConfig, HandlerOutput


def made(name: str) -> type[Handler[HandlerConfig]]:
    class Made(Handler[HandlerConfig]):
        type_name = name
        queue = "integration"
        description = "For tests."
        Config = HandlerConfig
        Output = HandlerOutput
        example = MappingProxyType({})

        def run(self, ctx: Context, config: HandlerConfig) -> Outcome:
            return Succeeded(None)

    return Made


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    kept = dict(registry._decorated)
    yield
    registry._decorated.clear()
    registry._decorated.update(kept)


def test_announced_types_are_loaded() -> None:
    names = registry.load().names()
    assert {"api_call", "celery_task", "echo"} <= set(names)
    assert names == sorted(names)


def test_decorated_types_are_known_to_registries_built_afterwards() -> None:
    cls = registry.handler(made("new_type"))
    assert registry.handler(cls) is cls
    loaded = registry.load()
    item = loaded.get("new_type")
    assert isinstance(item, cls)
    assert item in list(loaded)
    assert not item.light(HandlerConfig())
    assert loaded.get("nope") is None


def test_a_name_belongs_to_one_class() -> None:
    registry.handler(made("new_type"))
    with pytest.raises(registry.DuplicateType):
        registry.handler(made("new_type"))


def test_an_announced_name_cannot_be_decorated_anew() -> None:
    registry.handler(made("echo"))
    with pytest.raises(registry.DuplicateType, match="entry point"):
        registry.load()
