"""code_review asks a real server of a language model, or hands over to agents; pull requests are fetched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from taskengine.domain.errors import HandlerError
from taskengine.domain.outcome import Succeeded
from tests.integration.workers.code_work import asking, run, who_does_it
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Peer
from tests.llm_server import LlmServer
from workers.automation.code_review import CodeReview, CodeReviewConfig, CodeReviewOutput
from workers.automation.pull_request import diff_address

REVIEW = CodeReview()
LEAP = {"path": "leap.py", "content": "def leap(year):\n    return year % 4 == 0\n"}
DIFF = "--- a/leap.py\n+++ b/leap.py\n@@ -1,2 +1,2 @@\n def leap(year):\n-    pass\n+    return year % 4 == 0\n"
FOUND = {"file": "leap.py", "line": 2, "severity": "error", "text": "1900 was no leap year."}
ANSWER = {"comments": [FOUND], "summary": "Centuries are missing.", "verdict": "request_changes"}


@pytest.fixture
def llm() -> Iterator[LlmServer]:
    with asking() as server:
        server.script(ANSWER)
        yield server


def reviewed(ctx: HandlerContext, config: dict[str, Any]) -> CodeReviewOutput:
    outcome = run(REVIEW, ctx, config)
    assert isinstance(outcome, Succeeded)
    assert isinstance(outcome.result, CodeReviewOutput)
    return outcome.result


def test_files_are_reviewed(ctx: HandlerContext, llm: LlmServer) -> None:
    output = reviewed(ctx, {"files": [LEAP], "instructions": "centuries", "language": "Python"})
    assert output.model_dump() == ANSWER | {"executor": "llm"}
    [request] = llm.requests
    assert "    2 |     return year % 4 == 0" in request.user
    assert "Look in particular at: centuries" in request.user


def test_a_diff_is_reviewed(ctx: HandlerContext, llm: LlmServer) -> None:
    assert reviewed(ctx, {"diff": DIFF}).comments[0].line == 2
    assert "+    return year % 4 == 0" in llm.requests[0].user


def test_a_pull_request_is_fetched_as_a_diff(ctx: HandlerContext, llm: LlmServer, peer: Peer) -> None:
    peer.route("/acme/shop/pull/7.diff", lambda exchange: exchange.reply(200, DIFF.encode()))
    output = reviewed(ctx, {"pullRequestUrl": peer.url("/acme/shop/pull/7")})
    assert [comment.file for comment in output.comments] == ["leap.py"]
    fetched, _ = ctx.steps
    assert (fetched.name, fetched.value) == ("fetch the pull request", {"status": 200})


def test_a_pull_request_that_cannot_be_had_is_an_error(ctx: HandlerContext, llm: LlmServer, peer: Peer) -> None:
    with pytest.raises(HandlerError) as fault:
        run(REVIEW, ctx, {"pullRequestUrl": peer.url("/acme/shop/pull/7")})
    assert (fault.value.info.code, fault.value.info.details) == ("http_status", {"status": 404})
    with pytest.raises(HandlerError) as fault:
        run(REVIEW, ctx, {"pullRequestUrl": "http://169.254.169.254/pull/7"})
    assert fault.value.info.code == "egress_refused"


@pytest.mark.parametrize(
    ("page", "diff"),
    [
        ("https://github.com/a/b/pull/1", "https://github.com/a/b/pull/1.diff"),
        ("https://github.com/a/b/pull/1/", "https://github.com/a/b/pull/1.diff"),
        ("https://gitlab.com/a/b/-/merge_requests/2#note", "https://gitlab.com/a/b/-/merge_requests/2.diff"),
        ("https://git.example.com/a/b/pulls/3", "https://git.example.com/a/b/pulls/3.diff"),
        ("https://example.com/my.patch?x=1", "https://example.com/my.patch?x=1"),
    ],
)
def test_where_a_diff_is(page: str, diff: str) -> None:
    assert diff_address(page) == diff


def test_comments_on_files_that_were_not_shown_are_left_out(ctx: HandlerContext, llm: LlmServer) -> None:
    assert reviewed(ctx, {"files": [LEAP | {"path": "other.py"}]}).comments == []
    assert "leap.py" in ctx.everything()


def test_who_reviews_it(ctx: HandlerContext) -> None:
    who_does_it(REVIEW, ctx, {"files": [LEAP]}, "code_review")


def test_something_must_be_named() -> None:
    with pytest.raises(ValidationError, match="name what to review"):
        CodeReviewConfig.model_validate({"language": "Python"})


def test_an_agents_review_must_fit() -> None:
    config = CodeReviewConfig.model_validate({"files": [LEAP]})
    assert REVIEW.given(config, {"comments": [FOUND]}).executor == "agent"
    for wrong in ({}, {"comments": [FOUND | {"severity": "fatal"}]}, {"comments": [FOUND | {"line": 0}]}, "fine"):
        with pytest.raises(ValidationError):
            REVIEW.given(config, wrong)
