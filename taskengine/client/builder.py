"""``WorkflowBuilder``: a workflow's definition, written in Python.

    builder = WorkflowBuilder("nightly", variables={"branch": "main"})
    builder.add_task_step("build", task_template={"type": "echo", "config": {"message": "{{ variables.branch }}"}})
    builder.add_parallel_step("tests", sub_steps=[builder.task_step("unit", {...}), builder.task_step("e2e", {...})])
    definition = builder.build()

The definition is what the YAML files in ``examples/workflows`` hold: send it to POST /v1/runs or PUT /v1/workflows.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, Literal, ParamSpec

from taskengine.client import ready_made, steps
from taskengine.client.ready_made import ReadyMade
from taskengine.client.steps import Step

P = ParamSpec("P")

_LONGEST_NAME = 100


def _adds(make: Callable[P, Step]) -> Callable[Concatenate[WorkflowBuilder, P], WorkflowBuilder]:
    """The method that makes a step as ``make`` does, and adds it."""

    @functools.wraps(make)
    def add(self: WorkflowBuilder, /, *args: P.args, **kwargs: P.kwargs) -> WorkflowBuilder:
        return self.add_step(make(*args, **kwargs))

    return add


class WorkflowBuilder:
    """Collects steps; every ``add_*`` returns the builder. Wrong use raises ValueError and changes nothing.

    Steps run in the order in which they are added, unless their ``depends_on`` says otherwise. ``task_step`` and its
    siblings make the steps that go into others.
    """

    def __init__(
        self,
        name: str,
        description: str | None = None,
        *,
        variables: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        on_failure: Literal["fail", "continue"] | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        """``name`` may be a title, such as "My CI/CD Pipeline": what a workflow's name cannot hold becomes a dash,
        and the title is the description if there is no other. ``variables`` have their defaults, ``context`` is where
        runs begin, ``on_failure`` holds for steps that do not say.
        """
        self.name = _name(name)
        self.description = description or (name if name != self.name else None)
        self._settings = {
            "variables": None if variables is None else dict(variables),
            "context": None if context is None else dict(context),
            "on_failure": on_failure,
            "timeout_seconds": timeout_seconds,
        }
        self._steps: list[Step] = []

    task_step = staticmethod(steps.task_step)
    parallel_step = staticmethod(steps.parallel_step)
    sequential_step = staticmethod(steps.sequential_step)
    conditional_step = staticmethod(steps.conditional_step)
    loop_step = staticmethod(steps.loop_step)
    wait_step = staticmethod(steps.wait_step)
    workflow_step = staticmethod(steps.workflow_step)

    add_task_step = _adds(steps.task_step)
    add_parallel_step = _adds(steps.parallel_step)
    add_sequential_step = _adds(steps.sequential_step)
    add_conditional_step = _adds(steps.conditional_step)
    add_loop_step = _adds(steps.loop_step)
    add_wait_step = _adds(steps.wait_step)
    add_workflow_step = _adds(steps.workflow_step)

    def add_step(self, step: Step) -> WorkflowBuilder:
        """Add a step that was made before. ValueError if it, or a step inside it, has an id that is taken."""
        known = steps.ids(self._steps)
        for step_id in steps.ids([step]):
            if step_id in known:
                raise ValueError(f"step id {step_id!r} is there twice; ids are unique in the whole workflow")
            known.append(step_id)
        self._steps.append(step)
        return self

    def build(self) -> dict[str, Any]:
        """The definition, as JSON would hold it; a copy of its own each time. ValueError if there is no step."""
        if not self._steps:
            raise ValueError(f"workflow {self.name!r} has no steps; add at least one")
        fields = {"name": self.name, "description": self.description, **self._settings, "steps": self._steps}
        return copy.deepcopy({name: value for name, value in fields.items() if value is not None})

    @classmethod
    def create_ci_cd_workflow(cls, name: str, created_by: str, repository_url: str) -> dict[str, Any]:
        """The ready-made ``examples/workflows/ci_cd.yaml`` for a repository."""
        return cls._ready(name, ready_made.ci_cd(created_by, repository_url))

    @classmethod
    def create_data_processing_workflow(cls, name: str, created_by: str, data_sources: Sequence[Any]) -> dict[str, Any]:
        """The ready-made ``examples/workflows/data_processing.yaml`` over these sources."""
        return cls._ready(name, ready_made.data_processing(created_by, data_sources))

    @classmethod
    def create_code_review_workflow(cls, name: str, created_by: str, pull_request_url: str) -> dict[str, Any]:
        """The ready-made ``examples/workflows/code_review.yaml`` for a pull request; ``created_by`` approves it."""
        return cls._ready(name, ready_made.code_review(created_by, pull_request_url))

    @classmethod
    def _ready(cls, name: str, made: ReadyMade) -> dict[str, Any]:
        builder = cls(name, made.description, variables=made.variables)
        for step in made.steps:
            builder.add_step(step)
        return builder.build()


def _name(title: str) -> str:
    """The title as a name that an address can hold: letters, digits, ``_``, ``.`` and ``-``."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", title).strip("-.")[:_LONGEST_NAME]
    if not name:
        raise ValueError(f"a workflow's name needs a letter, a digit or an underscore; {title!r} has none")
    return name
