"""browser_task on real pages, in a real Chromium: by plain words, by a model step by step, by a plan of blocks."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyotp
import pytest
from pydantic import ValidationError

from taskengine.domain import templates
from taskengine.domain.errors import HandlerError, Invalid, PermanentError
from taskengine.domain.outcome import Parked, Succeeded
from taskengine.handlers.base import RunState
from tests.conftest import Bench
from tests.integration.workers.context import HandlerContext
from tests.llm_server import API_KEY, MODEL, LlmServer, Request, running_llm_server
from tests.site import EMAIL, PASSWORD, TOTP_SECRET, Site, running_site
from tests.site.goods import PEOPLE
from workers.browser import pool, secret_places
from workers.browser.browser_automation import BrowserAutomation, BrowserAutomationConfig
from workers.browser.browser_task import BrowserTask
from workers.browser.planning import handed_parameters
from workers.browser.pool import BrowserOptions
from workers.browser.task_config import BrowserTaskConfig, BrowserTaskOutput
from workers.language import client


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def browser() -> Iterator[None]:
    """One warm browser for the module."""
    pool.configure(BrowserOptions(egress=("127.0.0.1",)))
    yield
    pool.close()


@pytest.fixture
def llm() -> Iterator[LlmServer]:
    with running_llm_server() as server:
        client.configure(server.url, API_KEY, MODEL, 100_000)
        yield server
    client.configure(None, None, None, 1)


Do = Callable[..., BrowserTaskOutput]


@pytest.fixture
def do(ctx: HandlerContext, site: Site) -> Do:
    """Run a prompt that begins on a path of the site; returns the output or raises the error."""

    def run(prompt: str, path: str | None = None, context: HandlerContext | None = None, **fields: Any) -> Any:
        url = {} if path is None else {"url": site.url + path}
        config = {"prompt": prompt, "stepTimeout": 10_000, "screenshots": "on_failure", **url, **fields}
        outcome = BrowserTask().run(context or ctx, BrowserTaskConfig.model_validate(config))
        assert isinstance(outcome, Succeeded)
        return outcome.result

    return run


def later(ctx: HandlerContext, tmp_path: Path) -> HandlerContext:
    """The context of a later run of the same task."""
    return HandlerContext(ctx.session, tmp_path, memory=ctx.memory, task_name=ctx.task_name)


def refused(do: Do, *args: Any, **fields: Any) -> HandlerError:
    with pytest.raises(HandlerError) as caught:
        do(*args, **fields)
    return caught.value


def decide(action: str, words: str | None = None, **more: Any) -> Callable[[Request], dict[str, Any]]:
    """A decision about the element in whose line these words stand."""

    def rule(request: Request) -> dict[str, Any]:
        element = None
        if words is not None:
            lines = [line for line in request.user.splitlines() if line.startswith("[") and words in line]
            found = re.match(r"\[(\d+)\]", lines[0]) if lines else None
            element = int(found[1]) if found else 99_999
        return {"thought": f"{action} it", "action": action, "element": element, "text": None, "answer": None} | more

    return rule


def scripted(llm: LlmServer, *rules: Callable[[Request], dict[str, Any]]) -> None:
    """Let the model decide so, one after the other."""
    waiting = list(rules)
    llm.rule(lambda request: waiting.pop(0)(request) if waiting and request.schema_name == "Decision" else None)


# By plain words


def test_plain_words_fill_a_form(do: Do, site: Site) -> None:
    done = do(
        "Type Jane Doe into the full name field. Enter jane@example.org as e-mail address, then choose Phone. "
        'Type "Two lamps, please." into the message field and check Send me the newsletter. Click the Send button.',
        "/contact",
    )

    assert [step.type for step in done.steps] == ["navigate", "type", "type", "check", "type", "check", "click"]
    assert (done.engine, done.status, done.how, done.run_id) == ("v1", "completed", "words", None)
    assert done.steps[1].resolved == {
        "target": {"role": "textbox", "name": "Full name", "exact": True},
        "how": "match",
        "confidence": 1.0,
        "role": "textbox",
        "name": "Full name",
    }
    sent = site.came("/contact")
    assert [visit.method for visit in sent][-1] == "POST"


def test_plain_words_log_in_with_a_pushed_code_and_extract(do: Do, ctx: HandlerContext) -> None:
    ctx.codes["jane"] = [pyotp.TOTP(TOTP_SECRET).now()]
    ctx.secrets["SHOP_PASSWORD"] = PASSWORD
    done = do(
        """1. Type {user} into the email field
        2. Type {password} into the password field
        3. Click the Sign in button
        4. Enter the one-time code
        5. Click Verify
        6. Open the staff page
        7. Extract name and city of all staff""",
        "/login",
        parameters={"user": EMAIL, "password": PASSWORD},
        totpIdentifier="jane",
        screenshots="every_step",
    )

    assert isinstance(done.data, list)
    assert done.data[0] == {"name": PEOPLE[0].name, "city": PEOPLE[0].city}
    assert all(step.screenshot is not None for step in done.steps)
    assert done.usage.llm_tokens == 0
    assert done.url is not None and done.url.endswith("/staff")


def test_what_is_unclear_ends_the_task(do: Do) -> None:
    error = refused(do, "Click the Buy everything button", "/contact")

    assert error.info.code == "instruction_unclear"
    assert error.info.details["candidates"] is not None


@pytest.mark.parametrize(
    ("prompt", "path", "words"),
    [
        ("Find out which lamp suits a small desk best", "/products", "Find out which lamp"),
        ("Click Products. Then compare the two cheapest lamps", "/", "compare the two cheapest lamps"),
        ("Click Products", None, "where to begin"),
    ],
)
def test_more_than_plain_words_needs_a_model(do: Do, prompt: str, path: str | None, words: str) -> None:
    error = refused(do, prompt, path)

    assert error.info.code == "llm_not_configured"
    assert words in str(error)
    assert "TASKENGINE_LLM_URL" in str(error)


def test_more_sentences_than_steps_are_refused_before_the_first(do: Do, ctx: HandlerContext) -> None:
    assert refused(do, "Click Products. Click Staff. Click Home", "/", maxSteps=2).info.code == "max_steps_exceeded"
    assert ctx.steps == []


def test_an_unknown_parameter_is_named(do: Do) -> None:
    error = refused(do, "Type {user} into the email field", "/login", parameters={"name": "x"})

    assert error.info.code == "unknown_parameter"
    assert error.info.details == {"name": "user"}


# With a model, step by step


def test_the_agent_observes_decides_and_acts(do: Do, llm: LlmServer, ctx: HandlerContext) -> None:
    scripted(
        llm,
        decide("click", "link 'Staff'"),
        decide("extract", text="Extract name and city of all staff"),
        decide("done"),
    )
    done = do("Who works there, and where?", "/")

    assert (done.how, [step.type for step in done.steps]) == ("llm", ["navigate", "click", "extract"])
    assert isinstance(done.data, list) and len(done.data) > 3
    assert done.usage.llm_tokens > 0
    assert "click link 'Staff': done" in llm.requests[1].user
    assert "Data so far" in llm.requests[2].user
    assert llm.refused == []
    assert {step.type for step in ctx.steps} == {"navigate", "llm", "click", "extract"}


def test_a_later_run_replays_the_decisions_without_the_model(
    do: Do, llm: LlmServer, ctx: HandlerContext, tmp_path: Path
) -> None:
    scripted(
        llm,
        decide("click", "link 'Staff'"),
        decide("extract", text="Extract name and city of all staff"),
        decide("done"),
    )
    first = do("Who works there?", "/")
    asked = len(llm.requests)
    again = do("Who works there?", "/", context=later(ctx, tmp_path))

    assert (first.how, again.how) == ("llm", "replay")
    assert again.data == first.data
    assert len(llm.requests) == asked
    assert again.usage.llm_tokens == 0


def test_where_the_page_has_changed_the_model_goes_on(
    do: Do, llm: LlmServer, ctx: HandlerContext, tmp_path: Path
) -> None:
    scripted(llm, decide("click", "link 'Staff'"), decide("extract", text="Extract the page title"), decide("done"))
    do("Show me the staff", "/")
    kept = {key: text.replace('"Staff"', '"Team"') for key, text in ctx.memory.items()}
    ctx.memory.clear()
    ctx.memory.update(kept)
    asked = len(llm.requests)
    scripted(llm, decide("click", "link 'Staff'"), decide("done", answer='{"title": "Our staff"}'))
    again = do("Show me the staff", "/", context=later(ctx, tmp_path))

    assert (again.how, again.data) == ("llm", {"title": "Our staff"})
    assert len(llm.requests) == asked + 2


def test_the_answer_is_held_to_the_schema(do: Do, llm: LlmServer) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    scripted(llm, decide("done", answer='{"title": "x"}'), decide("done", answer='{"name": "Jane"}'))
    done = do("Who is it?", "/", dataSchema=schema)

    assert done.data == {"name": "Jane"}
    assert "does not meet the schema" in llm.requests[1].user


def test_parameters_are_typed_and_never_shown(do: Do, llm: LlmServer, ctx: HandlerContext, site: Site) -> None:
    ctx.secrets["SHOP_PASSWORD"] = PASSWORD
    scripted(
        llm,
        decide("type", "textbox 'Email'", text="{user}"),
        decide("type", "textbox 'Password'", text="{password}"),
        decide("click", "button 'Sign in'"),
        decide("type_code", "textbox 'Authentication code'"),
        decide("click", "button 'Verify'"),
        decide("done", answer='"signed in"'),
    )
    ctx.codes["jane"] = [pyotp.TOTP(TOTP_SECRET).now()]
    done = do("Log in", "/login", parameters={"user": EMAIL, "password": PASSWORD}, totpIdentifier="jane")

    assert done.url == f"{site.url}/account"
    sent = " ".join(request.user + request.system for request in llm.requests)
    assert PASSWORD not in sent
    assert PASSWORD not in str(ctx.memory)


def test_what_a_page_talks_the_model_into_does_not_take_secrets_elsewhere(
    do: Do, llm: LlmServer, ctx: HandlerContext, site: Site
) -> None:
    ctx.secrets["SHOP_PASSWORD"] = PASSWORD
    ctx.codes["jane"] = ["123456"]
    with running_site() as elsewhere:
        scripted(
            llm,
            decide("navigate", text=f"{elsewhere.url}/login?p={{password}}"),
            decide("navigate", text=f"{elsewhere.url}/login"),
            decide("type", "textbox 'Email'", text="{user}"),
            decide("type", "textbox 'Password'", text="{password}"),
            decide("type_code", "textbox 'Password'"),
            decide("navigate", text=f"{site.url}/login"),
            decide("type", "textbox 'Password'", text="{password}"),
            decide("done"),
        )
        done = do("Log in", "/login", parameters={"user": EMAIL, "password": PASSWORD}, totpIdentifier="jane")
        errors = [note for request in llm.requests for note in request.user.splitlines() if "may not be typed" in note]

        assert [step.type for step in done.steps] == ["navigate", "navigate", "type", "navigate", "type"]
        assert len({note.partition(":")[0] for note in errors}) == 2
        assert "which can only be typed into a field" in llm.requests[1].user
        assert PASSWORD.replace(" ", "%20") not in str(elsewhere.visits)


def test_a_sites_own_subdomains_may_have_its_secrets_and_no_other_host() -> None:
    trusted = secret_places.sites_of("https://www.shop.example/start", "Then sign in at login.example.org, please.")
    assert trusted == {("shop.example", None), ("login.example.org", None)}
    for host, belongs in (
        ("https://accounts.shop.example/x", True),
        ("https://shop.example", True),
        ("https://login.example.org/", True),
        ("https://evilshop.example", False),
        ("https://shop.example.evil.example", False),
        ("https://shop.example@evil.example", False),
        ("https://shop.example:8443", False),
        ("https://example.org", False),
    ):
        assert any(secret_places.belongs(site, item) for site in secret_places.sites_of(host) for item in trusted) is (
            belongs
        ), host


def test_a_step_that_fails_is_told_to_the_model(do: Do, llm: LlmServer) -> None:
    scripted(
        llm,
        decide("click", "no such words"),
        decide("select", "link 'Products'", text="anything"),
        decide("click", "link 'Products'"),
        decide("done", answer="1"),
    )
    done = do("Open the products", "/")

    assert "the page has no element" in llm.requests[1].user
    assert "failed" in llm.requests[2].user
    assert [step.status for step in done.steps] == ["succeeded", "failed", "succeeded"]


def test_a_model_that_takes_its_time_takes_none_of_the_steps(ctx: HandlerContext, llm: LlmServer, site: Site) -> None:
    def slow(request: Request) -> dict[str, Any]:
        threading.Event().wait(3.2)
        found = re.search(r"\[(\d+)\] link 'Products'", request.user)
        assert found
        return {"element": int(found[1]), "value": None, "confidence": 0.9, "reason": "goods"}

    llm.rule(slow)
    steps = [
        {"type": "navigate", "timeout": 30_000, "config": {"url": site.url}},
        {"type": "click", "timeout": 3_000, "config": {"instruction": "see what is for sale"}},
    ]
    outcome = BrowserAutomation().run(ctx, BrowserAutomationConfig.model_validate({"automationSteps": steps}))

    assert isinstance(outcome, Succeeded)
    assert outcome.result.url == f"{site.url}/products"


def test_steps_are_bounded(do: Do, llm: LlmServer) -> None:
    llm.rule(decide("scroll_down"))
    error = refused(do, "Scroll for ever", "/long", maxSteps=3)

    assert error.info.code == "max_steps_exceeded"
    assert len(llm.requests) == 2


def test_an_agent_that_gives_up_says_why(do: Do, llm: LlmServer) -> None:
    scripted(llm, decide("give_up", text="there is no such product"))
    error = refused(do, "Buy a spaceship", "/products")

    assert (error.info.code, error.info.details) == ("agent_gave_up", {"reason": "there is no such product"})


def test_private_addresses_are_refused_to_the_agent_too(do: Do, llm: LlmServer) -> None:
    scripted(llm, decide("navigate", text="http://127.0.0.9:8765/"), decide("done", answer="null"))
    done = do("Look around", "/")

    assert done.steps[1].error is not None
    assert done.steps[1].error.code == "egress_refused"
    assert done.refusals


def test_a_secret_in_the_prompt_is_refused_where_a_model_would_see_it(
    do: Do, llm: LlmServer, ctx: HandlerContext
) -> None:
    ctx.secrets["PIN"] = "hunter2-hunter2"
    error = refused(do, "Log in with hunter2-hunter2", "/login")

    assert error.info.code == "secret_in_prompt"
    assert llm.requests == []


# Planned into blocks


def block(key: str, url: str | None, goal: str, *depends_on: str, kind: str = "navigation") -> dict[str, Any]:
    return {"key": key, "kind": kind, "url": url, "goal": goal, "depends_on": list(depends_on)}


def planned(ctx: HandlerContext, prompt: str = "Compare two pages", **fields: Any) -> Any:
    config = BrowserTaskConfig.model_validate({"prompt": prompt, "engine": "v2", **fields})
    return BrowserTask().run(ctx, config)


def test_a_prompt_becomes_a_run_of_blocks(ctx: HandlerContext, llm: LlmServer) -> None:
    llm.script(
        {
            "blocks": [
                block("left", "https://a.example", "Take the title of the page"),
                block("right", "https://b.example", "Take the table", kind="extraction"),
                block("join", None, "Go to https://c.example", "left", "right"),
            ]
        }
    )
    ctx.secrets["PIN"] = "0815-4711"
    outcome = planned(ctx, parameters={"pin": "0815-4711"}, maxSteps=7, session={"load": "shop", "save": "shop"})

    assert isinstance(outcome, Parked)
    [spec] = ctx.begun
    steps = spec["definition"]["steps"]
    assert [(step["id"], step["task"]["type"], step["depends_on"]) for step in steps] == [
        ("left", "browser_task", []),
        ("right", "data_extraction", []),
        ("join", "browser_task", ["left", "right"]),
    ]
    first = steps[0]["task"]["config"]
    assert (first["engine"], first["maxSteps"], first["session"]) == ("v1", 7, {"load": "shop"})
    assert first["parametersOf"] == str(ctx.task_id)
    assert "0815" not in str(spec)
    BrowserTaskConfig.model_validate(first)


def test_blocks_take_what_was_rendered_as_it_is(ctx: HandlerContext) -> None:
    ctx.secrets["PIN"] = "0815-4711"
    found_on_a_page = "https://a.example/?{{ secrets.PIN }}"
    schema = {"type": "object", "description": "{{ secrets.PIN }}", "additionalProperties": True}
    planned(ctx, 'Click "{{ secrets.PIN }}".', url=found_on_a_page, dataSchema=schema, extraHeaders={"X-A": "b"})

    config = ctx.begun[0]["definition"]["steps"][0]["task"]["config"]
    rendered = templates.render(config, {"secrets": {"PIN": "rendered"}})
    assert rendered["url"] == found_on_a_page
    assert rendered["prompt"] == 'Click "{{ secrets.PIN }}".'
    assert (rendered["dataSchema"], rendered["extraHeaders"]) == (schema, {"X-A": "b"})


def test_blocks_get_the_parameters_and_only_the_secret_ones_are_hidden(ctx: HandlerContext, tmp_path: Path) -> None:
    ctx.secrets["PIN"] = "0815-4711"
    planned(ctx, "Click OK.", url="https://a.example/", parameters={"pin": "0815-4711", "what": "lamp"})
    block_of_it = later(ctx, tmp_path)

    assert handed_parameters(block_of_it, ctx.task_id) == {"pin": "0815-4711", "what": "lamp"}
    assert block_of_it.redacted("a lamp with 0815-4711") == "a lamp with ***"


def test_the_blocks_results_become_one(ctx: HandlerContext, llm: LlmServer) -> None:
    results = {
        "left": {"engine": "v1", "data": {"title": "A"}, "url": "https://a.io/", "usage": {"llm_tokens": 5}},
        "right": {"data": [1, 2], "url": "https://b.example/"},
    }  # fmt: skip
    ctx.run = RunState(uuid4(), "completed", True, results, None)
    outcome = planned(ctx)

    assert isinstance(outcome, Succeeded)
    done = outcome.result
    assert isinstance(done, BrowserTaskOutput)
    assert (done.engine, done.status, done.run_id) == ("v2", "completed", ctx.run.id)
    assert done.data == {"left": {"title": "A"}, "right": [1, 2]}
    assert [(step.name, step.type) for step in done.steps] == [("left", "browser_task"), ("right", "data_extraction")]
    assert done.usage.llm_tokens == 5


def test_data_of_blocks_is_put_into_the_shape_of_the_schema(ctx: HandlerContext, llm: LlmServer) -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    ctx.run = RunState(uuid4(), "completed", True, {"left": {"data": ["A"]}}, None)
    llm.script({"document": '{"title": "A"}'})
    outcome = planned(ctx, dataSchema=schema)

    assert isinstance(outcome, Succeeded)
    assert isinstance(outcome.result, BrowserTaskOutput)
    assert outcome.result.data == {"title": "A"}


def test_a_run_that_failed_fails_the_task(ctx: HandlerContext, llm: LlmServer) -> None:
    ctx.run = RunState(uuid4(), "failed", True, {}, {"code": "step_failed", "message": "left failed"})
    with pytest.raises(PermanentError) as caught:
        planned(ctx)

    assert caught.value.info.code == "blocks_failed"
    assert caught.value.info.details["run_id"] == str(ctx.run.id)


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([], "it has 0 blocks"),
        ([block("a", None, "x"), block("a", None, "y")], "the same key"),
        ([block("a", None, "x", "b")], "'b', which is no block"),
        ([block("a", None, "x", "b"), block("b", None, "x", "a")], "wait for each other"),
        ([block("a", None, "x", kind="api")], "has no url"),
        ([block("a b", None, "x")], "is no key"),
        ([block("a", "https://a.example", "the {pin}", kind="extraction")], "only navigation blocks have parameters"),
        ([block("a", None, "{{ secrets.PIN }}")], "holds a template"),
    ],
)
def test_a_plan_that_cannot_be_run_is_made_anew_once(
    blocks: list[dict[str, Any]], words: str, ctx: HandlerContext, llm: LlmServer
) -> None:
    llm.rule(lambda request: {"blocks": blocks})
    with pytest.raises(PermanentError) as caught:
        planned(ctx, parameters={"pin": 1234})

    assert caught.value.info.code == "invalid_plan"
    assert words in str(caught.value)
    assert words in llm.requests[1].user
    assert ctx.begun == []


def test_blocks_run_as_a_run_and_end_the_task(bench: Bench, llm: LlmServer, site: Site) -> None:
    llm.rule(
        lambda request: (
            {
                "blocks": [
                    block("home", f"{site.url}/", "Take the title"),
                    block("staff", f"{site.url}/staff", "Take it"),
                ]
            }
            if request.schema_name == "Plan"
            else None
        )
    )
    llm.rule(
        lambda request: (
            decide("done", answer='"' + ("staff" if "/staff" in request.user.split("Page: ")[1] else "home") + '"')(
                request
            )
            if request.schema_name == "Decision"
            else None
        )
    )
    config = {"prompt": "Compare home and staff", "engine": "v2", "screenshots": "none"}
    (task_id,) = bench.submit({"type": "browser_task", "config": config})
    bench.work(task_id)
    assert bench.task(task_id)["status"] == "waiting_input", bench.task(task_id)["last_error"]
    children = [row.id for row in bench.sql("SELECT id FROM tasks WHERE run_id IS NOT NULL AND type = 'browser_task'")]
    assert len(children) == 2
    assert bench.statuses(children) == ["queued", "queued"]
    bench.work(*children)
    bench.work(task_id)

    task = bench.task(task_id)
    assert task["status"] == "completed", task["last_error"]
    assert task["result"]["data"] == {"home": "home", "staff": "staff"}
    assert task["result"]["engine"] == "v2"


# The config


def test_an_unknown_engine_is_refused_at_submit(bench: Bench) -> None:
    with pytest.raises(Invalid) as caught:
        bench.submit({"type": "browser_task", "config": {"prompt": "Click it", "engine": "v3"}})

    [fault] = caught.value.errors
    assert (fault.loc[-1], fault.type) == ("engine", "unsupported_engine")
    assert "v1" in fault.msg and "v2" in fault.msg


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x", "url": "file:///etc/passwd"}, "url"),
        ({"prompt": "x", "dataSchema": {"type": "nonsense"}}, "dataSchema"),
        ({"prompt": "x", "maxSteps": 0}, "maxSteps"),
        ({"prompt": "x", "parameters": {"a b": "c"}}, "parameters"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        BrowserTaskConfig.model_validate(fields)
    assert caught.value.errors()[0]["loc"][0] == field
