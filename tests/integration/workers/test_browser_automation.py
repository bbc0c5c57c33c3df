"""browser_automation on real pages, in a real Chromium."""

from __future__ import annotations

import os
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyotp
import pytest
import requests
from PIL import Image
from pydantic import ValidationError

from taskengine.domain.errors import HandlerError, PermanentError, TransientError
from taskengine.domain.outcome import Succeeded
from tests.integration.workers.context import HandlerContext
from tests.servers import open_to_all
from tests.site import EMAIL, PASSWORD, TOTP_SECRET, Site, running_site
from tests.stack import alive, eventually
from workers.browser import pool, socket_owner
from workers.browser.browser_automation import (
    BrowserAutomation,
    BrowserAutomationConfig,
    BrowserAutomationOutput,
)
from workers.browser.launch import find_executable
from workers.browser.pool import BrowserOptions

PRIVATE = "127.0.0.9:8765"
"""Not among what the tests allow."""


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


Drive = Callable[..., BrowserAutomationOutput]


@pytest.fixture
def drive(ctx: HandlerContext, site: Site) -> Drive:
    """Run these steps; a path stands for an address of the site. Returns the output or raises the error."""

    def run(*steps: dict[str, Any], context: HandlerContext | None = None, **fields: Any) -> BrowserAutomationOutput:
        config = BrowserAutomationConfig.model_validate(
            {"stepTimeout": 10_000, "automationSteps": [at(site, step) for step in steps], **fields}
        )
        outcome = BrowserAutomation().run(context or ctx, config)
        assert isinstance(outcome, Succeeded)
        assert isinstance(outcome.result, BrowserAutomationOutput)
        return outcome.result

    return run


def at(site: Site, step: dict[str, Any]) -> dict[str, Any]:
    url = step.get("config", {}).get("url", "")
    return {**step, "config": {**step["config"], "url": site.url + url}} if url.startswith("/") else step


def to(path: str, **config: Any) -> dict[str, Any]:
    return {"type": "navigate", "config": {"url": path, **config}}


def do(kind: str, name: str | None = None, /, **config: Any) -> dict[str, Any]:
    return {"type": kind, "config": config, **({"name": name} if name else {})}


def another(ctx: HandlerContext, tmp_path: Path) -> HandlerContext:
    """The context of another task of the same organization."""
    folder = tmp_path / "other"
    folder.mkdir()
    return HandlerContext(ctx.session, folder, memory=ctx.memory, secrets=ctx.secrets)


def sign_in(**totp: Any) -> list[dict[str, Any]]:
    return [
        to("/login"),
        do("type", label="Email", text=EMAIL),
        do("type", label="Password", text=PASSWORD),
        do("click", role="button", name="Sign in"),
        do("type", label="Authentication code", totp=totp),
        do("click", role="button", name="Verify"),
        do("assert", selector="#who", contains=EMAIL),
    ]


# What the steps do


def test_it_signs_in_with_a_code_made_from_a_stored_secret(drive: Drive, ctx: HandlerContext) -> None:
    output = drive(*sign_in(secret=TOTP_SECRET), do("screenshot", "account"))
    assert output.url.endswith("/account")
    assert output.title == "Your account · Sample Shop"
    assert [step.status for step in output.steps] == ["succeeded"] * 8
    assert ctx.steps[0].name == "1 navigate"
    assert output.steps[7].screenshot is not None
    assert output.steps[7].screenshot.name == "08-account.png"


def test_neither_the_password_nor_the_code_is_recorded(drive: Drive, ctx: HandlerContext) -> None:
    output = drive(*sign_in(secret=TOTP_SECRET))
    code = next(text for text in ctx.hidden if text.isdecimal() and len(text) == 6)
    assert {PASSWORD, TOTP_SECRET} <= ctx.hidden
    for text in (ctx.everything(), output.model_dump_json()):
        assert PASSWORD not in text
        assert TOTP_SECRET not in text
        assert code not in text


def test_a_field_that_holds_a_code_is_covered_on_pictures(drive: Drive, ctx: HandlerContext) -> None:
    *steps, _, _ = sign_in(secret=TOTP_SECRET)
    output = drive(*steps, do("screenshot"), do("screenshot", selector="form"))
    for step in output.steps[-2:]:
        assert step.screenshot is not None
        with Image.open(ctx.artifacts[step.screenshot.id]) as picture:
            assert picture.convert("RGB").tobytes().count(bytes.fromhex("808080") * 100) > 20


def test_it_waits_for_a_pushed_code(drive: Drive, ctx: HandlerContext, site: Site) -> None:
    site.visits.clear()

    def push() -> None:
        site.wait_for("/login/code")
        ctx.codes["jane"] = [pyotp.TOTP(TOTP_SECRET).now()]

    pusher = threading.Thread(target=push)
    pusher.start()
    output = drive(*sign_in(identifier="jane", timeoutSeconds=20))
    pusher.join()
    assert output.url.endswith("/account")


def test_a_code_that_does_not_come_in_time_is_said_so(drive: Drive) -> None:
    with pytest.raises(TransientError) as caught:
        drive(*sign_in(identifier="nobody", timeoutSeconds=0.2))
    assert caught.value.info.code == "totp_timeout"
    assert caught.value.info.details["identifier"] == "nobody"


def test_a_totp_secret_that_is_none_is_refused(drive: Drive) -> None:
    with pytest.raises(PermanentError) as caught:
        drive(*sign_in(secret="not base32!"))
    assert caught.value.info.code == "totp_invalid_secret"


def test_it_fills_a_form_with_every_kind_of_field(drive: Drive, ctx: HandlerContext) -> None:
    stored = ctx.artifact("stored.png", b"12345", "image/png")
    output = drive(
        to("/contact"),
        do("type", selector="#name", text="Jané Dœ"),
        do("type", label="E-mail address", text="jane@example.org", delay=1),
        do("select", label="Topic", value="An order"),
        do("select", selector="#rooms", value=["Kitchen", "Office"]),
        do("check", label="Phone"),
        do("check", label="Send me the newsletter"),
        do("type", label="Message", text="First line\nsecond line"),
        do("upload", label="Photo", files=[{"artifactId": str(stored.id), "name": "me.png"}]),
        do("screenshot", "filled", fullPage=True, dom=True),
        do("click", text="Send message"),
        do("assert", selector="#received", contains="me.png (5 bytes)"),
        do("extract", "received", table={"selector": "#received"}),
    )
    received = ctx.artifacts[output.steps[9].screenshot.id] if output.steps[9].screenshot else None
    assert received is not None
    assert received.read_bytes().startswith(b"\x89PNG")
    page = str(output.extracted["received"])
    for value in ("Jané Dœ", "order", "Kitchen, Office", "phone", "yes", "second line"):
        assert value in page
    assert [kind for kind, _ in ctx.steps[9].files] == ["screenshot", "dom"]


def test_it_presses_hovers_scrolls_and_waits(drive: Drive) -> None:
    output = drive(
        to("/long"),
        do("scroll", "down", to="bottom"),
        do("wait", selector="#extra"),
        do("scroll", y=-100_000),
        do("hover", text="Line 3", exact=True),
        do("press", key="End"),
        to("/late"),
        do("wait", text="Loaded 3 things"),
        do("click", role="button", name="Continue"),
        do("wait", url="**/late"),
        do("wait", loadState="networkidle"),
        do("wait", duration=5),
        do("wait", selector="#no-such-thing", state="detached"),
    )
    assert output.steps[1].result != output.steps[3].result
    assert output.steps[3].result == {"position": {"x": 0, "y": 0}}


def test_it_works_inside_of_frames(drive: Drive) -> None:
    drive(
        to("/frames"),
        do("click", role="button", name="Press me", frame="#inner"),
        do("assert", text="Pressed", frame="#inner"),
    )


def test_a_window_that_opens_is_the_current_page_until_it_is_closed(drive: Drive, site: Site) -> None:
    output = drive(
        to("/popup"),
        do("click", selector="#open"),
        do("assert", text="Today only"),
        do("close_popup", "close"),
        do("assert", role="heading", name="Offers"),
        do("click", selector="#show"),
        do("close_popup"),
        do("assert", selector="#box", state="hidden"),
    )
    assert output.steps[3].result == {"closed": "window", "closed_url": f"{site.url}/popup/window"}
    assert output.steps[6].result == {"closed": "dialog"}
    assert output.popups == 1
    assert output.url.endswith("/popup")


def test_dialogs_are_answered_and_told(drive: Drive) -> None:
    output = drive(
        to("/dialogs"),
        do("click", selector="#alert"),
        do("click", selector="#confirm"),
        do("assert", selector="#answer", contains="true"),
        dialogs="accept",
    )
    assert [(item["type"], item["answer"]) for item in output.dialogs] == [
        ("alert", "accepted"),
        ("confirm", "accepted"),
    ]


def test_downloads_are_stored(drive: Drive, ctx: HandlerContext) -> None:
    output = drive(
        to("/download"),
        do("download", "prices", selector="#csv"),
        do("download", "again", url="/files/prices.csv", saveAs="list.csv"),
    )
    assert [file.name for file in output.downloads] == ["prices.csv", "list.csv"]
    assert ctx.artifacts[output.downloads[0].id].read_bytes().startswith(b"article,price\n")
    assert ctx.steps[1].files[0][0] == "download"


def test_it_extracts_a_table_over_several_pages(drive: Drive) -> None:
    output = drive(
        to("/staff"),
        do("extract", "staff", table={"selector": "#staff"}, pagination={"selector": "a.next", "maxPages": 10}),
    )
    staff = output.extracted["staff"]
    assert isinstance(staff, list)
    assert len(staff) == 47


def test_plain_words_are_resolved_and_what_they_meant_is_told(drive: Drive) -> None:
    output = drive(
        to("/login"),
        do("type", instruction=f"type {EMAIL} into the Email field"),
        do("click", instruction="click the Sign in button"),
        do("assert", text="Wrong e-mail or password"),
    )
    assert output.steps[1].result == {"characters": len(EMAIL)}
    assert isinstance(output.steps[1].resolved, dict)
    assert output.steps[1].resolved["how"] == "match"


def test_words_that_fit_nothing_are_refused_instead_of_guessed(drive: Drive) -> None:
    with pytest.raises(PermanentError) as caught:
        drive(to("/login"), do("click", instruction="delete the second invoice"))
    assert caught.value.info.code == "instruction_unclear"
    assert caught.value.info.details["step"]["index"] == 1


# How steps fail


def test_a_step_that_fails_leaves_a_picture_and_the_dom(drive: Drive, ctx: HandlerContext) -> None:
    with pytest.raises(PermanentError) as caught:
        drive(to("/"), {"type": "click", "name": "buy", "timeout": 300, "config": {"selector": "#buy"}})
    info = caught.value.info
    assert info.code == "target_not_found"
    assert "'#buy'" in info.message
    assert {info.details["step"][name] for name in ("index", "name", "type")} == {1, "buy", "click"}
    assert [kind for kind, _ in ctx.steps[1].files] == ["screenshot", "dom"]
    dom = next(ref for kind, ref in ctx.steps[1].files if kind == "dom")
    assert "Welcome to the Sample Shop" in ctx.artifacts[dom.id].read_text()


def test_nothing_is_pictured_where_none_is_wanted(drive: Drive, ctx: HandlerContext) -> None:
    with pytest.raises(PermanentError):
        drive(to("/"), {**do("assert", text="No such text"), "timeout": 200}, screenshots="none")
    assert ctx.artifacts == {}


def test_an_optional_step_may_fail(drive: Drive) -> None:
    cookie_banner = {"type": "click", "optional": True, "timeout": 200, "config": {"text": "Accept cookies"}}
    output = drive(to("/"), cookie_banner, do("click", role="link", name="Staff"))
    assert [step.status for step in output.steps] == ["succeeded", "failed", "succeeded"]
    assert output.steps[1].error is not None
    assert output.steps[1].error.code == "target_not_found"
    assert output.url.endswith("/staff")


def test_a_step_is_tried_again_as_it_says(drive: Drive) -> None:
    step = {"type": "navigate", "config": {"url": "/flaky?key=retry&times=2"}, "retry": {"times": 2, "delay": 1}}
    output = drive(step)
    assert output.steps[0].tries == 3


def test_what_matches_several_elements_is_not_guessed(drive: Drive) -> None:
    with pytest.raises(PermanentError) as caught:
        drive(to("/products"), do("click", selector=".product a"))
    assert caught.value.info.code == "target_ambiguous"
    output = drive(to("/products"), do("click", selector=".product a", nth=2))
    assert output.url.endswith("/products/3")


@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [
        ("/redirects", PermanentError, "too_many_redirects"),
        ("/status/404", PermanentError, "http_status"),
        ("/status/503", TransientError, "http_status"),
        ("http://no-such-host.invalid/", TransientError, "navigation_failed"),
        ("https://no-such-host.invalid/", TransientError, "navigation_failed"),
        ("http://127.0.0.1:1234/", TransientError, "navigation_failed"),
    ],
)
def test_a_page_that_does_not_open_says_why(drive: Drive, path: str, kind: type[HandlerError], code: str) -> None:
    with pytest.raises(kind) as caught:
        drive(to(path))
    assert caught.value.info.code == code


def test_a_slow_page_is_given_up_when_its_time_is_over(drive: Drive) -> None:
    with pytest.raises(TransientError) as caught:
        drive({"type": "navigate", "timeout": 300, "config": {"url": "/gate"}})
    assert caught.value.info.code == "navigation_timeout"


def test_scripts_are_run_only_where_the_operator_allows_it(drive: Drive) -> None:
    with pytest.raises(PermanentError) as caught:
        drive(to("/"), do("evaluate", script="document.title"))
    assert caught.value.info.code == "evaluate_not_allowed"


def test_the_output_is_what_its_model_says(drive: Drive) -> None:
    output = drive(to("/"))
    assert BrowserAutomationOutput.model_validate(output.model_dump(mode="json")) == output


# Sessions


def test_a_saved_session_is_signed_in_and_another_task_is_not(
    drive: Drive, ctx: HandlerContext, tmp_path: Path
) -> None:
    drive(*sign_in(secret=TOTP_SECRET), session={"save": "jane"})
    output = drive(to("/account"), context=another(ctx, tmp_path), session={"load": "jane"})
    assert output.url.endswith("/account")
    assert drive(to("/account")).url.endswith("/login")


def test_an_unknown_session_is_named(drive: Drive) -> None:
    with pytest.raises(PermanentError) as caught:
        drive(to("/"), session={"load": "nobody"})
    assert caught.value.info.code == "unknown_session"


def test_two_tasks_in_one_browser_see_nothing_of_each_other(drive: Drive) -> None:
    keeper = pool.pool().keeper
    drive(to("/storage/set?value=first"), to("/storage"), do("assert", selector="#cookies", contains="mark=first"))
    output = drive(
        to("/storage"),
        do("extract", "kept", fields={"cookies": "#cookies", "local": "#local"}),
    )
    assert output.extracted["kept"] in ({"cookies": None, "local": "{}"}, {"cookies": "", "local": "{}"})
    assert pool.pool().keeper == keeper


def test_a_trace_holds_no_password(drive: Drive, ctx: HandlerContext) -> None:
    output = drive(*sign_in(secret=TOTP_SECRET), trace=True)
    assert output.trace is not None
    with zipfile.ZipFile(ctx.artifacts[output.trace.id]) as trace:
        content = b"".join(trace.read(name) for name in trace.namelist())
        assert any(name.endswith(".trace") for name in trace.namelist())
    assert EMAIL.encode() in content
    assert PASSWORD.encode() not in content


# The way out


def test_every_way_to_a_private_address_is_refused_and_told(drive: Drive, ctx: HandlerContext) -> None:
    output = drive(to(f"/escapes?to={PRIVATE}"), do("assert", selector="#done", contains="refused"))
    kinds = {(refusal.kind, refusal.url.split("/")[-1]) for refusal in output.refusals}
    assert {
        ("image", "image"),
        ("document", "frame"),
        ("redirect", "redirected-frame"),
        ("redirect", "redirected-image"),
        ("redirect", "redirected-fetch"),
        ("fetch", "fetch"),
        ("fetch", "secure-fetch"),
        ("stylesheet", "style"),
        ("script", "script"),
    } <= kinds
    schemes = {refusal.url.partition(":")[0] for refusal in output.refusals}
    assert {"http", "https", "ws", "wss"} <= schemes
    assert {refusal.address for refusal in output.refusals} == {"127.0.0.9"}
    assert "request refused" in ctx.everything()


def test_no_datagram_leaves_a_page(drive: Drive) -> None:
    host, _, port = PRIVATE.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((host, int(port)))
        receiver.setblocking(False)
        drive(to(f"/escapes?to={PRIVATE}"), do("assert", selector="#done", contains="refused"))
        with pytest.raises(BlockingIOError):
            receiver.recv(1)


@pytest.mark.parametrize("url", [f"http://{PRIVATE}/", "https://[::1]/", "http://169.254.169.254/latest"])
def test_opening_a_private_address_is_refused(drive: Drive, url: str) -> None:
    with pytest.raises(PermanentError) as caught:
        drive(to(url), screenshots="none")
    assert caught.value.info.code == "egress_refused"


def test_a_redirect_to_a_private_address_is_refused(drive: Drive) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(PermanentError) as caught:
            drive(to(f"/escapes/redirect?to={scheme}://{PRIVATE}/x"))
        assert caught.value.info.code == "egress_refused"
        assert caught.value.info.details["address"] == "127.0.0.9"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "chrome://version", "view-source:http://x.org", "data:text/html,x"]
)
def test_other_schemes_are_refused_before_the_task_is_stored(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        BrowserAutomationConfig.model_validate({"automationSteps": [to(url)]})
    assert caught.value.errors()[0]["loc"] == ("automationSteps", 0, "config", "url")


def test_the_proxy_serves_nobody_but_its_own_chromium(drive: Drive, site: Site) -> None:
    drive(to("/"))
    proxy = pool.pool().proxy
    assert proxy is not None
    with pytest.raises(requests.RequestException):
        requests.get(f"{site.url}/", proxies={"http": f"http://127.0.0.1:{proxy.port}"}, timeout=10)


# Crashes, stops, and what is left


def test_a_page_that_takes_too_much_is_ended_and_the_next_task_works(drive: Drive) -> None:
    pool.close()
    pool.configure(BrowserOptions(egress=("127.0.0.1",), recycle_mb=400))
    with pytest.raises(HandlerError) as caught:
        drive(to("/crash"), do("click", selector="#crash"), stepTimeout=60_000)
    assert caught.value.info.code in {"browser_crashed", "page_too_large"}
    pool.configure(BrowserOptions(egress=("127.0.0.1",)))
    assert drive(to("/")).title == "Home · Sample Shop"


def test_a_page_that_never_answers_again_is_ended(drive: Drive) -> None:
    with pytest.raises(HandlerError) as caught:
        drive(to("/busy"), {**do("click", selector="#hang"), "timeout": 500}, do("assert", text="Busy"))
    assert caught.value.info.code in {"page_hangs", "step_timeout"}
    assert drive(to("/")).title == "Home · Sample Shop"


def tree() -> list[psutil.Process]:
    keeper = pool.pool().keeper
    assert keeper is not None
    return [psutil.Process(pid) for pid in socket_owner.tree(keeper)]


def in_the_middle(site: Site, act: Callable[[], None]) -> threading.Thread:
    """Do something once the page of /gate was asked for."""
    site.visits.clear()

    def wait() -> None:
        site.wait_for("/gate")
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_killed_renderer_is_a_crash_and_the_next_task_works(drive: Drive, site: Site) -> None:
    drive(to("/"))

    def kill_renderers() -> None:
        for process in tree():
            if "--type=renderer" in process.cmdline():
                process.kill()

    killer = in_the_middle(site, kill_renderers)
    with pytest.raises(TransientError) as caught:
        drive(to("/"), to("/gate"))
    killer.join()
    assert caught.value.info.code == "browser_crashed"
    assert drive(to("/")).title == "Home · Sample Shop"


def test_a_killed_chromium_is_a_crash_and_leaves_nothing(drive: Drive, site: Site) -> None:
    drive(to("/"))
    before = tree()
    chromium = next(process for process in before if process.name() == "chromium")
    killer = in_the_middle(site, chromium.kill)
    with pytest.raises(TransientError) as caught:
        drive(to("/gate"))
    killer.join()
    assert caught.value.info.code == "browser_crashed"
    eventually(lambda: not any(alive(process.pid) for process in before), 5, "all of Chromium is gone")
    assert drive(to("/")).title == "Home · Sample Shop"


def driver_of_the_browser() -> psutil.Process:
    return next(
        child for child in psutil.Process().children() if child.name() == "node" or "node" in child.cmdline()[0]
    )


def test_a_driver_that_is_gone_when_chromium_is_to_be_started_is_replaced(drive: Drive) -> None:
    drive(to("/"))
    pool.pool()._drop()
    driver = driver_of_the_browser()
    driver.kill()
    driver.wait(10)
    assert drive(to("/")).title == "Home · Sample Shop"
    assert drive(to("/")).title == "Home · Sample Shop"


def test_a_killed_driver_takes_chromium_with_it(drive: Drive, site: Site) -> None:
    drive(to("/"))
    before = tree()
    driver = driver_of_the_browser()
    killer = in_the_middle(site, driver.kill)
    with pytest.raises(TransientError) as caught:
        drive(to("/gate"))
    killer.join()
    assert caught.value.info.code == "browser_crashed"
    eventually(lambda: not any(alive(process.pid) for process in before), 5, "all of Chromium is gone")
    assert drive(to("/")).title == "Home · Sample Shop"


def test_a_stop_in_mid_navigation_ends_the_wait_at_once(drive: Drive, ctx: HandlerContext, site: Site) -> None:
    drive(to("/"))

    def stop() -> None:
        ctx.stop = True

    stopper = in_the_middle(site, stop)
    with pytest.raises(TransientError) as caught:
        drive(to("/gate"), stepTimeout=60_000)
    stopper.join()
    assert caught.value.info.code == "browser_stopped"


def running_ones() -> list[psutil.Process]:
    return [process for process in tree() if process.status() != psutil.STATUS_ZOMBIE]


def test_it_does_not_run_as_root_with_its_sandbox_off(drive: Drive) -> None:
    drive(to("/"))
    running = running_ones()
    assert len(running) > 3
    for process in running:
        assert process.uids().real != 0
        assert "--no-sandbox" not in process.cmdline()


def test_a_start_that_fails_once_does_not_cost_the_sandbox(drive: Drive, tmp_path: Path) -> None:
    open_to_all(tmp_path)
    tmp_path.chmod(0o777)
    starter = tmp_path / "chromium"
    real = find_executable(None, "")
    starter.write_text(f'#!/bin/sh\nmkdir {tmp_path}/once 2>/dev/null && exit 1\nexec {real} "$@"\n')
    starter.chmod(0o755)
    pool.close()
    pool.configure(BrowserOptions(chromium=starter, egress=("127.0.0.1",)))
    try:
        drive(to("/"))
        assert (tmp_path / "once").exists()
        assert not any("--no-sandbox" in process.cmdline() for process in running_ones())
    finally:
        pool.close()
        pool.configure(BrowserOptions(egress=("127.0.0.1",)))


def test_many_tasks_in_a_row_leave_no_process_context_or_file(
    drive: Drive, tmp_path: Path, ctx: HandlerContext
) -> None:
    count = int(os.environ.get("BROWSER_TASKS", "5"))
    drive(to("/products"))
    held = pool.pool()
    before, size = descriptors(), held.memory_mb()
    for _ in range(count):
        drive(to("/products"), do("click", role="link", name="Staff"), do("screenshot"))
        assert held.contexts() == 0
    assert len(tree()) <= 16
    assert descriptors() <= before + 5
    assert held.memory_mb() < size + 200
    folder = held.folder()
    assert folder is not None
    assert [path for path in folder.rglob("*") if path.parent.name in {"artifacts", "downloads"}] == []


def descriptors() -> int:
    return psutil.Process().num_fds()


def test_a_browser_is_renewed_after_its_tasks_and_its_folder_removed(drive: Drive) -> None:
    pool.close()
    pool.configure(BrowserOptions(egress=("127.0.0.1",), recycle_tasks=2))
    drive(to("/"))
    folder, first = pool.pool().folder(), pool.pool().keeper
    assert first is not None
    assert folder is not None
    drive(to("/"))
    assert not alive(first)
    assert not folder.exists()
    drive(to("/"))
    assert pool.pool().keeper not in {None, first}


# Configs


@pytest.mark.parametrize(
    ("step", "loc"),
    [
        ({"type": "click", "config": {"selector": ""}}, ("config", "selector")),
        ({"type": "click", "config": {}}, ("config",)),
        ({"type": "click"}, ("config",)),
        ({"type": "click", "config": {"selector": "#a", "text": "a"}}, ("config",)),
        ({"type": "fly", "config": {}}, ("type",)),
        ({"config": {}}, ("type",)),
        ({"type": "type", "config": {"selector": "#a"}}, ("config",)),
        ({"type": "type", "config": {"selector": "#a", "totp": {}}}, ("config", "totp")),
        ({"type": "wait", "config": {}}, ("config",)),
        ({"type": "wait", "config": {"duration": -1}}, ("config", "duration")),
        ({"type": "navigate", "config": {"url": "example.org"}}, ("config", "url")),
        ({"type": "upload", "config": {"selector": "#a", "files": []}}, ("config", "files")),
        ({"type": "click", "config": {"selector": "#a", "wait": 1}}, ("config", "wait")),
    ],
)
def test_a_wrong_step_is_refused_with_its_place(step: dict[str, Any], loc: tuple[str, ...]) -> None:
    steps = [to("http://example.org"), step]
    with pytest.raises(ValidationError) as caught:
        BrowserAutomationConfig.model_validate({"automationSteps": steps})
    assert caught.value.errors()[0]["loc"] == ("automationSteps", 1, *loc)


def test_more_steps_than_the_limit_are_refused() -> None:
    with pytest.raises(ValidationError, match="maxSteps allows 2"):
        BrowserAutomationConfig.model_validate({"maxSteps": 2, "automationSteps": [to("http://example.org")] * 3})


def test_a_missing_browser_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as caught:
        find_executable(tmp_path / "no-browser", "")
    assert caught.value.info.code == "browser_missing"
    assert "TASKENGINE_CHROMIUM" in caught.value.info.message
