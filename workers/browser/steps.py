"""Runs steps one after the other on a session, and records each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from playwright.sync_api import Error
from pydantic import JsonValue

from taskengine.domain.cleaning import clean_json
from taskengine.domain.errors import HandlerError, PermanentError, TransientError
from taskengine.handlers.base import ArtifactRef, StepRecord
from workers.browser import actions_element, actions_files, actions_page, recording
from workers.browser.elements import Clock, find
from workers.browser.extraction import ExtractResult, extract
from workers.browser.session import Session, allowed
from workers.browser.step_config import ExtractStep, ScreenshotConfig, Step, TypeStep, WaitStep
from workers.browser.step_result import StepResult, StoredPart, fault, stored

Screenshots = Literal["on_failure", "every_step", "none"]

_SLACK_SECONDS = 5.0
"""A step's own time limit should end it; this much later the browser is ended."""
_FAILED_PAGE = "chrome-error:"

_ACTIONS: dict[str, Callable[[Session, Any, Clock], dict[str, Any]]] = {
    "navigate": actions_page.navigate,
    "click": actions_element.click,
    "type": actions_element.type_text,
    "wait": actions_page.wait,
    "select": actions_element.select,
    "check": actions_element.check,
    "press": actions_element.press,
    "hover": actions_element.hover,
    "scroll": actions_page.scroll,
    "upload": actions_files.upload,
    "assert": actions_page.check_page,
    "evaluate": actions_page.evaluate,
    "close_popup": actions_page.close_popup,
}


@dataclass(slots=True)
class StepsOptions:
    """How steps are run, and what came of them so far."""

    timeout_ms: float = 30_000
    """For steps that name none."""
    screenshots: Screenshots = "on_failure"
    extracted: dict[str, JsonValue] = field(default_factory=dict)
    """Data of the extract steps, by name; filled while they run."""
    downloads: list[StoredPart] = field(default_factory=list)
    on_extract: Callable[[str, ExtractResult], None] | None = None
    """Told of each extraction with its name, for who needs more than the data."""


@dataclass(slots=True)
class _Went:
    """What a step has brought so far, whether it succeeds or not."""

    result: JsonValue = None
    resolved: JsonValue = None
    screenshot: ArtifactRef | None = None
    dom: ArtifactRef | None = None
    tries: int = 0


def run_steps(session: Session, steps: Sequence[Step], options: StepsOptions) -> list[StepResult]:
    """Run the steps in order. The first that fails and is not optional raises its error, with ``details.step``."""
    results: list[StepResult] = []
    for index, step in enumerate(steps):
        session.ctx.progress(index / len(steps), label(index, step))
        results.append(_run(session, index, step, options))
    return results


def label(index: int, step: Step) -> str:
    """What a step is called in the record."""
    return step.name or f"{index + 1} {step.type}"


def _run(session: Session, index: int, step: Step, options: StepsOptions) -> StepResult:
    began, started = time.monotonic(), datetime.now(UTC)
    went = _Went()
    error: HandlerError | None = None
    try:
        with session.ctx.step(label(index, step), step.type) as record:
            _tried(session, index, step, options, went, record)
    except HandlerError as failure:
        # A crashed browser, or one that was ended, takes all steps with it: there is nothing left to go on with.
        if not step.optional or session.gone:
            raise _placed(failure, session, index, step, went) from failure
        error = failure
        session.ctx.log(f"optional step failed: {failure}", level="warning", step=label(index, step))
    return StepResult(
        index=index,
        name=step.name,
        type=step.type,
        status="failed" if error else "succeeded",
        url=_url(session),
        started_at=started,
        duration_ms=round((time.monotonic() - began) * 1000),
        tries=went.tries,
        result=went.result,
        resolved=went.resolved,
        error=None if error is None else fault(error),
        screenshot=None if went.screenshot is None else stored(went.screenshot),
        dom=None if went.dom is None else stored(went.dom),
    )


def _tried(session: Session, index: int, step: Step, options: StepsOptions, went: _Went, record: StepRecord) -> None:
    """Try a step as often as it says; what it leaves is put into its record, also when it fails."""
    policy = step.retries()
    try:
        while True:
            went.tries += 1
            try:
                _once(session, index, step, options, went, record)
                break
            except HandlerError as failure:
                if went.tries > policy.times or session.gone:
                    raise
                session.ctx.log(f"step failed, trying again: {failure}", step=label(index, step))
                if session.ctx.wait(policy.delay / 1000):
                    raise TransientError("browser_stopped", "the attempt was told to stop between steps") from None
        if options.screenshots == "every_step" and went.screenshot is None:
            _picture(session, index, step, went, record)
    except HandlerError:
        if options.screenshots != "none" and not session.gone:
            _evidence(session, index, step, went, record)
        raise
    finally:
        record.result(
            {
                "url": _url(session),
                "tries": went.tries,
                "result": went.result,
                **({"resolved": went.resolved} if went.resolved else {}),
            }
        )


def _once(session: Session, index: int, step: Step, options: StepsOptions, went: _Went, record: StepRecord) -> None:
    """One try."""
    if session.ctx.cancelled():
        raise TransientError("browser_stopped", "the attempt was told to stop between steps")
    timeout_ms = step.timeout or options.timeout_ms
    clock = Clock(timeout_ms, time.monotonic())
    known = {refusal.url for refusal in session.refusals}
    what = label(index, step)
    with session.supervision.limit(_longest(step, timeout_ms), what), session.errors(what, timeout_ms):
        made = _act(session, index, step, options, went, record, clock)
        _check_place(session, known)
    went.resolved = cast("JsonValue", clean_json(made.pop("resolved", None)))
    went.result = cast("JsonValue", clean_json(made))


def _longest(step: Step, timeout_ms: float) -> float:
    """When a try hangs for certain, in seconds."""
    seconds = timeout_ms / 1000 + _SLACK_SECONDS
    if isinstance(step, WaitStep):
        seconds += (step.config.duration or 0) / 1000
    elif isinstance(step, TypeStep):
        seconds += (step.config.delay or 0) * len(step.config.text or "") / 1000
        seconds += step.config.totp.timeout_seconds if step.config.totp else 0
    elif isinstance(step, ExtractStep) and step.config.pagination is not None:
        seconds *= step.config.pagination.max_pages
    return seconds


def _act(
    session: Session, index: int, step: Step, options: StepsOptions, went: _Went, record: StepRecord, clock: Clock
) -> dict[str, Any]:
    if step.type == "extract":
        return _extract(session, index, step, options)
    if step.type == "screenshot":
        return _screenshot(session, index, step, went, record, clock)
    if step.type == "download":
        fetched = actions_files.download(session, step.config, clock)
        record.attach("download", fetched.ref)
        options.downloads.append(stored(fetched.ref))
        return {"file": stored(fetched.ref).model_dump(mode="json"), "from": fetched.url}
    return _ACTIONS[step.type](session, step.config, clock)


def _extract(session: Session, index: int, step: ExtractStep, options: StepsOptions) -> dict[str, Any]:
    name = step.name or f"step_{index + 1}"
    found = extract(session, step.config)
    options.extracted[name] = found.data
    if options.on_extract is not None:
        options.on_extract(name, found)
    # The data itself is in the task's result, once.
    return {
        "name": name,
        "records": found.records,
        "pages": found.pages,
        "complete": found.complete,
        "resolved": found.source,
    }


def _screenshot(
    session: Session, index: int, step: Any, went: _Went, record: StepRecord, clock: Clock
) -> dict[str, Any]:
    config: ScreenshotConfig = step.config
    target = config.target()
    name = _file_name(index, step)
    if target is None:
        went.screenshot = session.screenshot(name, full_page=config.full_page)
    else:
        element = find(session, target, "read", clock).locator
        data = recording.picture_of(element, clock.left_ms(), session.covered)
        went.screenshot = session.ctx.artifact(f"{name}.png", data, "image/png")
    record.attach("screenshot", went.screenshot)
    if config.dom:
        went.dom = session.dom(name)
        record.attach("dom", went.dom)
    return {"file": stored(went.screenshot).model_dump(mode="json")}


def _picture(session: Session, index: int, step: Step, went: _Went, record: StepRecord) -> None:
    with session.errors(f"screenshot of {label(index, step)}"):
        went.screenshot = session.screenshot(_file_name(index, step))
    record.attach("screenshot", went.screenshot)


def _evidence(session: Session, index: int, step: Step, went: _Went, record: StepRecord) -> None:
    """Screenshot and DOM of a failure; that they cannot be taken must not hide why the step failed."""
    name = f"{_file_name(index, step)}-failed"
    try:
        went.screenshot = session.screenshot(name)
        record.attach("screenshot", went.screenshot)
        went.dom = session.dom(name)
        record.attach("dom", went.dom)
    except (Error, HandlerError) as error:
        session.ctx.log(f"no picture of the failure: {str(error).splitlines()[0][:300]}", level="warning")


def _file_name(index: int, step: Step) -> str:
    plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in step.name or step.type)[:60]
    return f"{index + 1:02d}-{plain}"


def _check_place(session: Session, known: set[str]) -> None:
    """After a step: the page may only be where pages may be."""
    session.settle()
    url = session.page.url
    refused = [refusal for refusal in session.refusals if refusal.url not in known]
    for refusal in refused:
        session.ctx.log("request refused", level="warning", url=refusal.url, kind=refusal.kind, reason=refusal.reason)
    main = next((refusal for refusal in refused if refusal.url == url), None)
    if main is not None or (refused and url.startswith(_FAILED_PAGE)):
        last = main or refused[-1]
        raise PermanentError("egress_refused", last.reason, {"url": last.url, "address": last.address})
    if not allowed(url) and not url.startswith(_FAILED_PAGE):
        session.page.goto("about:blank")
        raise PermanentError(
            "address_refused", f"the page went to {url[:200]}; only http and https are opened", {"url": url[:2000]}
        )


def _placed(failure: HandlerError, session: Session, index: int, step: Step, went: _Went) -> HandlerError:
    """The error with where it happened."""
    failure.info.details["step"] = {
        "index": index,
        "name": step.name,
        "type": step.type,
        "tries": went.tries,
        "url": _url(session),
        "screenshot": None if went.screenshot is None else str(went.screenshot.id),
        "dom": None if went.dom is None else str(went.dom.id),
    }
    return failure


def _url(session: Session) -> str:
    pages = session.pages
    return pages[-1].url if pages else ""
