"""The entry to the HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, cast
from uuid import UUID

from taskengine.client.administration import ApiKeys, Secrets
from taskengine.client.agents import Agents, Leases
from taskengine.client.errors import ServerError
from taskengine.client.executions import Artifacts, Executions
from taskengine.client.models import Readiness, Task, TaskOptions, TaskSpec, TaskType
from taskengine.client.people import Deliveries, Groups, Members
from taskengine.client.queues import DeadLetters, Queues
from taskengine.client.run_models import Run, RunSpec
from taskengine.client.runs import Runs
from taskengine.client.tasks import Tasks
from taskengine.client.transport import Transport
from taskengine.client.workflows import Workflows


class Client:
    """Talks to one taskengine API with one API key. May be shared by threads; not across a fork.

    ::

        with Client("http://127.0.0.1:8000", api_key) as client:
            task = client.submit("echo", {"message": "hello"})
            print(client.wait(task["id"], timeout=30)["result"])

    The verbs stand by subject: ``tasks``, ``runs``, ``workflows``, ``executions``, ``artifacts``, ``queues``,
    ``dead_letters``, ``secrets``, ``api_keys``, ``members``, ``groups``, ``deliveries``, ``agents``, ``leases``.
    Requests are tried again when that may help, and never take effect twice.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        *,
        timeout: float = 30,
        retries: int = 5,
        verify: bool | str = True,
    ) -> None:
        """Connects with the first request.

        ``timeout`` is seconds without an answer, ``retries`` how often a request is tried again (5: over about
        6 s); ``verify`` may be the path of a CA bundle.
        """
        self._transport = Transport(base_url, api_key, timeout=timeout, retries=retries, verify=verify)
        self.tasks = Tasks(self._transport)
        self.runs = Runs(self._transport)
        self.workflows = Workflows(self._transport)
        self.executions = Executions(self._transport)
        self.artifacts = Artifacts(self._transport)
        self.queues = Queues(self._transport)
        self.dead_letters = DeadLetters(self._transport)
        self.secrets = Secrets(self._transport)
        self.api_keys = ApiKeys(self._transport)
        self.members = Members(self._transport)
        self.groups = Groups(self._transport)
        self.deliveries = Deliveries(self._transport)
        self.agents = Agents(self._transport)
        self.leases = Leases(self._transport)

    @property
    def base_url(self) -> str:
        """Where the API is, without a slash at the end."""
        return self._transport.base_url

    def submit(
        self,
        type: str,
        config: dict[str, Any] | None = None,
        *,
        name: str | None = None,
        options: TaskOptions | None = None,
        idempotency_key: str | None = None,
    ) -> Task:
        """Create a task of a type; its name is the type's unless given."""
        spec = cast("TaskSpec", {**(options or {}), "type": type, "name": name or type, "config": config or {}})
        return self.tasks.create(spec, idempotency_key=idempotency_key)

    def wait(self, task_id: str | UUID, timeout: float | None = None) -> Task:
        """The task once it is final; WaitTimeout after ``timeout`` seconds."""
        return self.tasks.wait(task_id, timeout)

    def run(
        self,
        workflow: str | Mapping[str, Any],
        variables: Mapping[str, Any] | None = None,
        *,
        context: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """Start a run of a registered workflow, by its name, or of a definition."""
        spec: RunSpec = {"workflow": workflow} if isinstance(workflow, str) else {"definition": dict(workflow)}
        if variables:
            spec["variables"] = dict(variables)
        if context:
            spec["context"] = dict(context)
        return self.runs.create(spec, idempotency_key=idempotency_key)

    def wait_run(self, run_id: str | UUID, timeout: float | None = None) -> Run:
        """The run once it has ended; RunTimeout after ``timeout`` seconds."""
        return self.runs.wait(run_id, timeout)

    def task_types(self) -> list[TaskType]:
        """Every task type that the installation knows, with its schemas."""
        return list(self._transport.pages("/v1/task-types", {}, None))

    def healthy(self) -> bool:
        """Whether the API process itself answers; Unreachable when nothing does."""
        return self._transport.probe("/healthz")[0] == 200

    def ready(self) -> Readiness:
        """The state of each dependency, asked once: an installation that is not ready is an answer too."""
        status, body, _ = self._transport.probe("/readyz")
        if not isinstance(body, dict) or "checks" not in body:
            raise ServerError(status, {"detail": f"{self.base_url}/readyz answered {status} without checks"})
        return cast("Readiness", body)

    def server_clock(self) -> float | None:
        """The API's clock in Unix seconds, to the second; None when it does not tell."""
        return self._transport.probe("/healthz")[2]

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
