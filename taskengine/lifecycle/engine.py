"""What every verb needs, made once by ``taskengine.runtime``."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from config.settings import Settings
from taskengine.broker.publish import Publisher
from taskengine.delivery.language import LanguageServer
from taskengine.domain.clock import Clock, system_clock
from taskengine.handlers.registry import Registry
from taskengine.limits.rates import Rates
from taskengine.live.finished import Finishes
from taskengine.store.cipher import Cipher
from taskengine.store.database import Database
from taskengine.store.files import ArtifactFiles


@dataclass(slots=True)
class Engine:
    """The engine of one process. Safe to share between threads, not across a fork."""

    settings: Settings
    db: Database
    redis: redis.Redis
    publisher: Publisher
    registry: Registry
    cipher: Cipher
    files: ArtifactFiles
    finishes: Finishes
    rates: Rates
    language: LanguageServer | None = None
    """The language model that verbs of the API ask; None where none is set up."""
    clock: Clock = system_clock
    chance: Callable[[], float] = field(default=random.random)

    def close(self) -> None:
        """Close connections and end threads."""
        self.finishes.close()
        self.db.close()
        self.redis.close()
