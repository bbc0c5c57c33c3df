"""What happens when worker processes start and stop."""

from __future__ import annotations

import gc
import threading
import warnings
from typing import Any

import structlog
from celery import signals
from celery.exceptions import CPendingDeprecationWarning

from config.logging import configure
from config.settings import Settings
from taskengine import runtime
from taskengine.broker.publish import direct
from taskengine.domain.errors import EngineError
from taskengine.handlers import registry
from taskengine.lifecycle import presence, scratch
from workers import resources, state
from workers.automation import sandbox
from workers.browser import pool as browser
from workers.outfit import outfit

log = structlog.get_logger(__name__)


class Presence:
    """Says every few seconds that this worker lives. Runs in the worker's main process."""

    def __init__(self, settings: Settings, node: str, queue: str, pool_size: int) -> None:
        self._engine = runtime.build(settings, pool_size=1, name=f"presence {node}")
        self._settings = settings
        self._node, self._queue, self._size = node, queue, pool_size
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="presence", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while True:
            try:
                has = resources.found(self._settings.home, self._settings.stated_resources())
                presence.seen(self._engine, self._node, self._queue, self._size, has)
            except EngineError as error:
                log.warning("presence_not_recorded", reason=str(error))
            except Exception:
                log.exception("presence_not_recorded")
            if self._stop.wait(presence.EVERY_SECONDS):
                return

    def close(self) -> None:
        """Say goodbye."""
        self._stop.set()
        self._thread.join(timeout=5)
        try:
            presence.gone(self._engine, self._node)
        except EngineError as error:
            log.warning("presence_not_recorded", reason=str(error))
        self._engine.close()


def connect(settings: Settings) -> None:
    """Hang the engine into Celery's process signals."""
    main: dict[str, Presence] = {}
    node = {"name": "worker", "runs programs": ""}

    def events(conf: Any, options: dict[str, Any], **_: Any) -> None:
        served = {str(name) for name in options.get("queues") or ()}
        conf.worker_send_task_events = bool(served & settings.event_queues())
        node["runs programs"] = "yes" if "automation" in served else ""

    def init(sender: Any, **_: Any) -> None:
        node["name"] = str(sender.hostname)
        outfit(settings)
        # Here, so that the pool's processes share the pages; what only some tasks need, they load at the first of them.
        registry.load()
        if node["runs programs"]:
            # Said when the worker starts, and not only when a task comes: here nothing is run without isolation.
            sandbox.isolation(again=True)

    def fork(**_: Any) -> None:
        # The collector would write to every object in each process, and so give each a copy of every page.
        if not gc.get_freeze_count():
            gc.collect()
            gc.freeze()

    def setup(sender: str, instance: Any, **_: Any) -> None:
        # What needs more than any worker has is sent to one that has it, by a list of its own.
        instance.app.amqp.queues.select_add(direct(sender))

    def ready(sender: Any, **_: Any) -> None:
        # With every lost connection Celery warns, in ten lines, that tasks will run twice. That is about late
        # acknowledgement, and ours is early. Said here, since Celery resets its warnings while it starts.
        warnings.filterwarnings("ignore", category=CPendingDeprecationWarning, module="celery.worker.consumer")
        worker = sender.controller
        queues = [name for name in worker.app.amqp.queues.consume_from if name != direct(node["name"])]
        main["presence"] = Presence(settings, node["name"], queues[0], worker.concurrency)
        if worker.pool_cls.__module__.endswith("solo"):
            state.start(settings, node["name"])

    def shutdown(**_: Any) -> None:
        if "presence" in main:
            main.pop("presence").close()
        end()

    def end(**_: Any) -> None:
        browser.close()
        state.stop()

    def process_init(**_: Any) -> None:
        # What the reconciler cannot reach: it may run on another machine.
        scratch.sweep(settings.home)
        state.own_group()
        state.start(settings, node["name"])

    signals.setup_logging.connect(lambda **_: configure(settings), weak=False)
    signals.celeryd_init.connect(events, weak=False)
    signals.celeryd_after_setup.connect(setup, weak=False)
    signals.worker_init.connect(init, weak=False)
    signals.worker_before_create_process.connect(fork, weak=False)
    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutdown.connect(shutdown, weak=False)
    signals.worker_process_init.connect(process_init, weak=False)
    signals.worker_process_shutdown.connect(end, weak=False)
