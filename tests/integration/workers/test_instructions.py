"""Plain words on twenty everyday pages in a real Chromium: what they lead to, what is refused, what is replayed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from taskengine.delivery.egress import guarded_session
from taskengine.domain.errors import PermanentError
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.everyday import CASES, MODEL_CASES, serving_pages
from tests.integration.workers.peers import Peer
from tests.llm_server import API_KEY, MODEL, LlmServer, Request, running_llm_server
from workers.browser import pool
from workers.browser.instructions import Resolution, resolve
from workers.browser.locating import locator_of
from workers.browser.pool import BrowserOptions
from workers.browser.session import Session, SessionOptions, open_session
from workers.language import client


@pytest.fixture(scope="module")
def pages() -> Iterator[Peer]:
    with serving_pages() as peer:
        yield peer


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, pages: Peer) -> Iterator[Session]:
    """One session for the whole module: these tests look at pages and leave nothing behind."""
    pool.configure(BrowserOptions(egress=("127.0.0.1",)))
    try:
        with guarded_session(["127.0.0.1"]) as http:
            ctx = HandlerContext(http, tmp_path_factory.mktemp("attempt"))
            with open_session(ctx, SessionOptions(timeout_ms=10_000)) as opened:
                yield opened
    finally:
        pool.close()


@pytest.fixture(autouse=True)
def fresh(session: Session) -> None:
    """Nothing remembered, nothing recorded."""
    ctx = session.ctx
    assert isinstance(ctx, HandlerContext)
    ctx.memory.clear()
    ctx.steps.clear()
    ctx.hidden.clear()
    ctx.task_name = "a task"


@pytest.fixture
def llm() -> Iterator[LlmServer]:
    with running_llm_server() as server:
        client.configure(server.url, API_KEY, MODEL, 100_000)
        yield server
    client.configure(None, None, None, 1)


def mark(session: Session, found: Resolution) -> str | None:
    """What the page calls the element that was found."""
    return locator_of(session.page, found.locator_spec).get_attribute("data-is")


def number_of(request: Request, words: str) -> int:
    """The number in the outline of the element whose line holds these words."""
    lines = [line for line in request.user.splitlines() if words in line]
    found = re.match(r"\[(\d+)\]", lines[0])
    assert found
    return int(found[1])


def choice(element: int | None, **more: Any) -> dict[str, Any]:
    return {"element": element, "value": None, "confidence": 0.9, "reason": "it says so"} | more


@pytest.mark.parametrize("page", CASES)
def test_words_lead_to_the_element_that_they_mean_or_are_refused(page: str, session: Session, pages: Peer) -> None:
    session.page.goto(pages.url(f"/{page}"))
    wrong = []
    for words, wants, expected, value in CASES[page]:
        try:
            found = resolve(session, words, wants=wants)
        except PermanentError as error:
            assert error.info.code == "instruction_unclear"
            got: tuple[Any, Any] = (None, value)
        else:
            assert found.how == "match"
            got = (mark(session, found), found.value)
        if got != (expected, value):
            wrong.append((words, got))
    assert wrong == []


def test_a_refusal_shows_what_came_closest(session: Session, pages: Peer) -> None:
    session.page.goto(pages.url("/settings"))

    with pytest.raises(PermanentError) as caught:
        resolve(session, "click Edit", wants="click")
    told = [(item["role"], item["name"], item["place"]) for item in caught.value.info.details["candidates"]]
    assert told[:2] == [("button", "Edit", "Billing > Billing"), ("button", "Edit", "Profile > Profile")]
    assert "2 elements fit it about equally well" in str(caught.value)


def test_a_later_run_replays_what_was_found(session: Session, pages: Peer) -> None:
    session.page.goto(pages.url("/login?first"))
    first = resolve(session, "type jane into the email field", wants="type")
    session.page.goto(pages.url("/login?second"))
    again = resolve(session, "type jane into the email field", wants="type")

    assert (first.how, again.how) == ("match", "replay")
    assert (again.locator_spec, again.value) == (first.locator_spec, "jane")


def test_another_task_does_not_replay_it(session: Session, pages: Peer) -> None:
    session.page.goto(pages.url("/login"))
    resolve(session, "click Sign in with Google", wants="click")
    session.ctx.task_name = "another task"

    assert resolve(session, "click Sign in with Google", wants="click").how == "match"


def test_a_changed_page_is_matched_anew(session: Session, pages: Peer) -> None:
    session.page.goto(pages.url("/forum"))
    resolve(session, "click Post answer", wants="click")
    session.page.evaluate("document.querySelector('[data-is=post]').remove()")
    session.page.evaluate(
        """document.body.insertAdjacentHTML('beforeend', '<a href="#" data-is="new">Post answer</a>')"""
    )

    found = resolve(session, "click Post answer", wants="click")
    assert (found.how, mark(session, found)) == ("match", "new")


def rows(session: Session, *names: str) -> None:
    """A table with a Delete button in each row."""
    made = "".join(f"<tr><td>{name}</td><td><button data-is='{name}'>Delete</button></td></tr>" for name in names)
    session.page.evaluate("table => { document.body.innerHTML = table }", f"<h1>People</h1><table>{made}</table>")


@pytest.mark.parametrize("first", [("Alice", "Bob"), ("Bob",)])
def test_a_replay_never_takes_what_now_stands_in_its_place(
    first: tuple[str, ...], session: Session, pages: Peer
) -> None:
    session.page.goto(pages.url("/forum"))
    words = "click Delete in the row of Bob"
    rows(session, *first)
    assert mark(session, resolve(session, words, wants="click")) == "Bob"
    assert mark(session, resolve(session, words, wants="click")) == "Bob"
    rows(session, "Bob", "Alice")
    assert mark(session, resolve(session, words, wants="click")) == "Bob"
    rows(session, "Carl")
    with pytest.raises(PermanentError) as caught:
        resolve(session, words, wants="click")
    assert caught.value.info.code == "instruction_unclear"


def test_a_choice_of_the_model_is_replayed_only_where_it_stood(session: Session, pages: Peer, llm: LlmServer) -> None:
    session.page.goto(pages.url("/forum"))
    llm.rule(lambda request: choice(number_of(request, "near 'Bob'")))
    rows(session, "Alice", "Bob")
    assert mark(session, resolve(session, "get rid of the man", wants="click")) == "Bob"
    assert resolve(session, "get rid of the man", wants="click").how == "replay"
    rows(session, "Bob", "Alice")
    found = resolve(session, "get rid of the man", wants="click")
    assert (found.how, mark(session, found)) == ("llm", "Bob")


def test_an_element_that_comes_late_is_waited_for(session: Session, pages: Peer) -> None:
    session.page.goto(pages.url("/tree"))
    session.page.evaluate(
        """() => { let n = 0; const add = () => { document.body.insertAdjacentHTML('beforeend',
        n++ < 5 ? '<a href="#">News</a>' : '<button data-is="late">Publish</button>');
        if (n < 6) setTimeout(add, 150) }; add() }"""
    )

    assert mark(session, resolve(session, "click Publish", wants="click")) == "late"


def test_a_secret_in_the_words_is_not_remembered(session: Session, pages: Peer) -> None:
    session.page.goto(pages.url("/login"))
    session.ctx.hide("tr0ub4dor")
    words = "type tr0ub4dor into the password field"
    found = resolve(session, words, wants="type")
    again = resolve(session, words, wants="type")

    assert (found.value, again.value, again.how) == ("tr0ub4dor", "tr0ub4dor", "replay")
    ctx = session.ctx
    assert isinstance(ctx, HandlerContext)
    assert "tr0ub4dor" not in str(ctx.memory)


def test_with_a_model_clear_words_do_not_ask_it(session: Session, pages: Peer, llm: LlmServer) -> None:
    session.page.goto(pages.url("/login"))

    assert resolve(session, "click the forgot password link", wants="click").how == "match"
    assert llm.requests == []


@pytest.mark.parametrize("page", MODEL_CASES)
def test_a_model_finds_what_words_alone_do_not_and_its_choice_is_replayed(
    page: str, session: Session, pages: Peer, llm: LlmServer
) -> None:
    words, wants, line, expected = MODEL_CASES[page]
    session.page.goto(pages.url(f"/{page}"))
    llm.rule(lambda request: choice(None if line is None else number_of(request, line)))
    if expected is None:
        with pytest.raises(PermanentError, match="the language model found nothing"):
            resolve(session, words, wants=wants)
        return
    found = resolve(session, words, wants=wants)
    asked = len(llm.requests)
    again = resolve(session, words, wants=wants)

    assert (found.how, mark(session, found)) == ("llm", expected)
    assert (again.how, mark(session, again)) == ("replay", expected)
    assert (asked, len(llm.requests)) == (1, 1)
    assert llm.refused == []


@pytest.mark.parametrize("page", MODEL_CASES)
def test_without_a_model_the_same_words_are_refused(page: str, session: Session, pages: Peer) -> None:
    words, wants, _, _ = MODEL_CASES[page]
    session.page.goto(pages.url(f"/{page}"))

    with pytest.raises(PermanentError) as caught:
        resolve(session, words, wants=wants)
    assert caught.value.info.code == "instruction_unclear"


def test_where_the_page_has_changed_the_model_is_asked_again(session: Session, pages: Peer, llm: LlmServer) -> None:
    session.page.goto(pages.url("/login"))
    llm.rule(lambda request: choice(number_of(request, "button 'Sign in'") if "Sign in" in request.user else None))
    resolve(session, "let me in", wants="click")
    session.page.evaluate("document.querySelector('[data-is=signin]').textContent = 'Enter'")
    llm.rule(lambda request: choice(number_of(request, "button 'Enter'")))

    found = resolve(session, "let me in", wants="click")
    assert (found.how, found.name) == ("llm", "Enter")
    assert len(llm.requests) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (choice(9999), "which the page does not have"),
        (choice(-1), "which the page does not have"),
        (choice(None), "the language model found nothing"),
        (choice(0, confidence=0.2), "the language model found nothing"),
    ],
)
def test_what_the_model_makes_up_is_refused(
    answer: dict[str, Any], words: str, session: Session, pages: Peer, llm: LlmServer
) -> None:
    session.page.goto(pages.url("/login"))
    llm.rule(lambda request: answer)

    with pytest.raises(PermanentError) as caught:
        resolve(session, "let me in", wants="click")
    assert caught.value.info.code == "instruction_unclear"
    assert words in str(caught.value)


def test_a_button_that_the_model_wants_to_type_into_is_refused(session: Session, pages: Peer, llm: LlmServer) -> None:
    session.page.goto(pages.url("/login"))
    llm.rule(lambda request: choice(number_of(request, "button 'Sign in'")))

    with pytest.raises(PermanentError, match="with which one cannot type"):
        resolve(session, "type the pin 1234 where it belongs", wants="type")


def test_the_text_of_a_page_comes_to_the_model_without_secrets(session: Session, pages: Peer, llm: LlmServer) -> None:
    session.page.goto(pages.url("/login"))
    session.page.fill("#email", "jane-the-secret@example.org")
    session.ctx.hide("jane-the-secret@example.org")
    llm.rule(lambda request: choice(number_of(request, "button 'Sign in'")))

    resolve(session, "let me in", wants="click")
    assert "jane-the-secret" not in llm.requests[0].user
    assert "value='***'" in llm.requests[0].user
