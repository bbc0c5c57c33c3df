"""celery_task runs the tasks of a Celery app as that app's own worker would."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from celery.app import app_or_default
from pydantic import ValidationError

from taskengine.domain.errors import HandlerError, PermanentError, RateLimited, TransientError
from taskengine.domain.outcome import Succeeded
from tests.integration.workers import shop
from tests.integration.workers.context import HandlerContext
from workers.automation import celery_task
from workers.automation.celery_task import CeleryTask, CeleryTaskConfig, CeleryTaskOutput

APP = "tests.integration.workers.shop:app"


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    celery_task.configure(APP)
    shop.hooks.clear()
    yield
    celery_task.configure(None)


def run(ctx: HandlerContext, name: str, *args: Any, **kwargs: Any) -> CeleryTaskOutput:
    config = CeleryTaskConfig.model_validate({"task": name, "args": list(args), "kwargs": kwargs})
    outcome = CeleryTask().run(ctx, config)
    assert isinstance(outcome, Succeeded)
    assert isinstance(outcome.result, CeleryTaskOutput)
    return outcome.result


def failure(ctx: HandlerContext, name: str, *args: Any, **kwargs: Any) -> HandlerError:
    with pytest.raises(HandlerError) as caught:
        run(ctx, name, *args, **kwargs)
    return caught.value


def test_it_returns_what_the_task_returns(ctx: HandlerContext) -> None:
    output = run(ctx, "shop.add", 2, right=3)
    assert output == CeleryTaskOutput(task="shop.add", result=5, ignored=False)


def test_the_name_may_be_called_name(ctx: HandlerContext) -> None:
    config = CeleryTaskConfig.model_validate({"name": "shop.add", "args": [1]})
    assert config.task == "shop.add"


@pytest.mark.parametrize("name", ["taskengine.tick", "taskengine.run", "celery.backend_cleanup", "celery.nothing"])
def test_tasks_of_the_engine_and_of_celery_are_nobodys(ctx: HandlerContext, name: str) -> None:
    for field in ("task", "name"):
        with pytest.raises(ValidationError, match="cannot be run by a task"):
            CeleryTaskConfig.model_validate({field: name})
    with pytest.raises(PermanentError) as caught:  # also where no validation came before
        CeleryTask().run(ctx, CeleryTaskConfig.model_construct(task=name))
    assert caught.value.info.code == "unknown_celery_task"
    assert not [known for known in caught.value.info.details["close"] if known.startswith(("taskengine.", "celery."))]


def test_the_engines_tasks_would_be_on_the_users_app() -> None:
    importlib.import_module("workers.messages")
    assert {"taskengine.tick", "celery.backend_cleanup"} <= set(shop.app.tasks)


def test_a_bound_task_sees_one_id_over_all_attempts_and_counts_them(ctx: HandlerContext) -> None:
    ctx.attempt = 3
    assert run(ctx, "shop.describe").result == {
        "id": str(ctx.task_id),
        "retries": 2,
        "called_directly": False,
        "headers": {"idempotency_key": ctx.idempotency_key},
        "app": "shop",
    }


def test_the_users_app_is_current_while_its_task_runs_and_not_after(ctx: HandlerContext) -> None:
    before = app_or_default()
    assert run(ctx, "shop.which_app").result == "shop"
    failure(ctx, "shop.fail")
    assert app_or_default() is before


def test_self_retry_leaves_the_retry_to_the_engine(ctx: HandlerContext) -> None:
    error = failure(ctx, "shop.retry")
    assert isinstance(error, TransientError)
    assert error.info.code == "celery_retry"
    assert "no paper" in error.info.message
    assert error.retry_after_seconds == 7


def test_self_retry_without_a_countdown_waits_as_long_as_celery_would(ctx: HandlerContext) -> None:
    error = failure(ctx, "shop.retry", countdown=None)
    assert isinstance(error, TransientError)
    assert error.retry_after_seconds == 180  # Task.default_retry_delay


def test_self_retry_at_a_time_waits_until_then(ctx: HandlerContext) -> None:
    error = failure(ctx, "shop.retry_at")
    assert isinstance(error, TransientError)
    assert error.retry_after_seconds == pytest.approx(90, abs=2)


def test_the_tasks_own_retry_limit_ends_it(ctx: HandlerContext) -> None:
    ctx.attempt = 3
    error = failure(ctx, "shop.retry")
    assert isinstance(error, PermanentError)
    assert error.info.details["exception"] == "OutOfPaper"


def test_a_retry_with_other_arguments_is_warned_of(ctx: HandlerContext) -> None:
    assert isinstance(failure(ctx, "shop.retry_with", 1), TransientError)
    assert [level for level, _ in ctx.logs] == ["warning"]


def test_autoretry_backs_off_as_the_task_says(ctx: HandlerContext) -> None:
    delays = []
    for ctx.attempt in (1, 2, 3):
        error = failure(ctx, "shop.autoretry")
        assert isinstance(error, TransientError)
        delays.append(error.retry_after_seconds)
    assert delays == [4, 8, 16]


def test_any_other_exception_fails_the_task_with_its_traceback(ctx: HandlerContext) -> None:
    error = failure(ctx, "shop.fail")
    assert isinstance(error, PermanentError)
    assert error.info.code == "celery_task_failed"
    assert error.info.message == "shop.fail: RuntimeError: printer on fire"
    assert "in fail" in error.info.details["traceback"]


def test_a_task_may_raise_the_engines_own_errors(ctx: HandlerContext) -> None:
    error = failure(ctx, "shop.limited")
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == 12


@pytest.mark.parametrize(
    ("ending", "called"),
    [
        ("end", ["before_start", "on_success", "after_return"]),
        ("fail", ["before_start", "on_failure", "after_return"]),
        ("retry", ["before_start", "on_retry"]),
    ],
)
def test_the_hooks_of_the_task_class_are_called(ending: str, called: list[str], ctx: HandlerContext) -> None:
    if ending == "end":
        run(ctx, "shop.hooked", ending)
    else:
        failure(ctx, "shop.hooked", ending)
    assert shop.hooks == called


def test_ignore_is_done_without_a_result(ctx: HandlerContext) -> None:
    assert run(ctx, "shop.ignore") == CeleryTaskOutput(task="shop.ignore", result=None, ignored=True)


@pytest.mark.parametrize(("requeue", "kind"), [(True, TransientError), (False, PermanentError)])
def test_reject_is_tried_again_when_it_asks_for_it(
    requeue: bool, kind: type[HandlerError], ctx: HandlerContext
) -> None:
    error = failure(ctx, "shop.reject", requeue)
    assert type(error) is kind
    assert error.info.code == "celery_rejected"


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        ("tuple", [1, [2]]),
        ("date", {"on": "2026-01-02", "at": "2026-01-02T03:00:00+00:00"}),
        ("decimal", "1.10"),
        ("uuid", "00000000-0000-0000-0000-000000000005"),
        ("none", None),
    ],
)
def test_what_has_a_json_form_is_a_result(kind: str, result: Any, ctx: HandlerContext) -> None:
    assert run(ctx, "shop.returns", kind).result == result


@pytest.mark.parametrize("kind", ["object", "set", "nan", "bytes", "loop", "big", "nul"])
def test_what_has_none_is_an_error(kind: str, ctx: HandlerContext) -> None:
    error = failure(ctx, "shop.returns", kind)
    assert isinstance(error, PermanentError)
    assert error.info.code == "result_not_json"


def test_an_unknown_name_is_told_what_comes_close(ctx: HandlerContext) -> None:
    error = failure(ctx, "shop.ad")
    assert isinstance(error, PermanentError)
    assert error.info.code == "unknown_celery_task"
    assert "shop.add" in error.info.details["close"]
    assert "include" in error.info.message


def test_wrong_arguments_are_told_before_the_task_runs(ctx: HandlerContext) -> None:
    error = failure(ctx, "shop.add", 1, 2, 3)
    assert isinstance(error, PermanentError)
    assert error.info.code == "bad_arguments"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (None, "TASKENGINE_CELERY_APP"),
        ("tests.integration.workers.none:app", "ModuleNotFoundError"),
        ("tests.integration.workers.shop:none", "AttributeError"),
        ("tests.integration.workers.shop:not_an_app", "not a Celery app"),
    ],
)
def test_an_app_that_cannot_be_had_is_named(path: str | None, text: str, ctx: HandlerContext) -> None:
    celery_task.configure(path)
    before = app_or_default()
    error = failure(ctx, "shop.add", 1)
    assert isinstance(error, PermanentError)
    assert error.info.code == "celery_app_unavailable"
    assert text in error.info.message
    assert app_or_default() is before
