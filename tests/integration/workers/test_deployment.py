"""deployment: steps against a real server that counts what was done to it, and the way back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from taskengine.domain.errors import HandlerError, PermanentError, TransientError
from taskengine.domain.outcome import Succeeded
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Exchange, Peer
from tests.stack import eventually
from workers.automation.deployment import Deployment, DeploymentConfig, DeploymentOutput

Run = Callable[..., DeploymentOutput]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def run(ctx: HandlerContext) -> Run:
    """Deploy these steps; the output or the error."""

    def run(*steps: dict[str, Any], **fields: Any) -> DeploymentOutput:
        outcome = Deployment().run(ctx, DeploymentConfig.model_validate({"steps": steps, **fields}))
        assert isinstance(outcome, Succeeded)
        assert isinstance(outcome.result, DeploymentOutput)
        return outcome.result

    return run


def fault(run: Run, *steps: dict[str, Any], **fields: Any) -> HandlerError:
    with pytest.raises(HandlerError) as caught:
        run(*steps, **fields)
    return caught.value


def script(code: str, **fields: Any) -> dict[str, Any]:
    return {"script": {"code": code}, **fields}


def serve(peer: Peer, *failing: str) -> None:
    """Answer every path below /do, /check and /undo; those named fail."""
    for kind in ("do", "check", "undo"):
        for name in "abcd":
            status = 400 if f"{kind}/{name}" in failing else 200
            body = json.dumps({"status": "ok" if status == 200 else "bad", "did": name}).encode()
            peer.route(f"/{kind}/{name}", partial(_reply, status, body))


def _reply(status: int, body: bytes, exchange: Exchange) -> None:
    exchange.reply(status, body)


def step(peer: Peer, name: str, **parts: Any) -> dict[str, Any]:
    """A step with all three parts, each a call of the peer."""
    return {
        "name": name,
        "run": {"http": {"method": "POST", "url": peer.url(f"/do/{name}"), "body": {}}},
        "verify": {"http": {"url": peer.url(f"/check/{name}"), "expect": {"/status": "ok"}}},
        "rollback": {"http": {"method": "DELETE", "url": peer.url(f"/undo/{name}")}},
    } | parts


def begun(ctx: HandlerContext) -> list[str]:
    """The steps that the next attempt would undo."""
    [kept] = [json.loads(value) for value in ctx.memory.values()]
    return list(kept["begun"])


def asked(peer: Peer) -> list[str]:
    return [request.path.removeprefix("/") for request in peer.requests]


def test_steps_are_done_in_order_and_each_is_verified(run: Run, ctx: HandlerContext, peer: Peer) -> None:
    serve(peer)
    count = script("def main(input):\n    return {'files': 3}")
    output = run({"name": "build", "run": count}, step(peer, "a"), step(peer, "b"))
    assert [(item.name, item.verified) for item in output.steps] == [("build", False), ("a", True), ("b", True)]
    assert output.steps[0].result == {"files": 3}
    assert output.steps[1].result == {"status": 200, "body": {"status": "ok", "did": "a"}}
    assert asked(peer) == ["do/a", "check/a", "do/b", "check/b"]
    assert [item.type for item in ctx.steps] == ["run", "run", "verify", "run", "verify"]
    assert ctx.memory == {}


def test_a_later_script_sees_what_earlier_steps_returned(run: Run) -> None:
    build = {"name": "build", "run": script("result = {'version': '1.4'}")}
    publish = {"name": "publish", "run": script("result = 'v' + input['steps']['build']['version']")}
    assert run(build, publish).steps[1].result == "v1.4"


def test_what_was_done_is_undone_in_reverse_when_a_step_fails(run: Run, ctx: HandlerContext, peer: Peer) -> None:
    serve(peer, "do/c")
    plain = {"name": "plain", "run": script("result = 1")}
    error = fault(run, step(peer, "a"), plain, step(peer, "b"), step(peer, "c"), step(peer, "d"))
    assert isinstance(error, PermanentError)
    assert error.info.code == "deployment_failed"
    assert error.info.message.endswith("answered 400; rolled back: c, b, a")
    assert error.info.details["failed_step"] == "c"
    assert error.info.details["error"]["code"] == "http_status"
    assert (error.info.details["rolled_back"], error.info.details["without_rollback"]) == (["c", "b", "a"], ["plain"])
    assert asked(peer) == ["do/a", "check/a", "do/b", "check/b", "do/c", "undo/c", "undo/b", "undo/a"]
    assert [item.name for item in ctx.steps][-3:] == ["rollback c", "rollback b", "rollback a"]
    assert begun(ctx) == []


def test_a_step_that_does_not_verify_has_failed(run: Run, peer: Peer) -> None:
    serve(peer)
    peer.route("/check/a", lambda exchange: exchange.reply(200, b'{"status": "starting"}'))
    error = fault(run, step(peer, "a"))
    assert error.info.details["error"]["code"] == "unexpected_answer"
    assert '/status is "starting", not "ok"' in error.info.message
    assert asked(peer) == ["do/a", "check/a", "undo/a"]


def test_a_verification_is_tried_as_often_as_it_may_take(run: Run, peer: Peer) -> None:
    serve(peer)

    def wakes_up(exchange: Exchange) -> None:
        ready = asked(peer).count("check/a") == 3
        exchange.reply(200 if ready else 503, b'{"status": "ok"}')

    peer.route("/check/a", wakes_up)
    verify = {"http": {"url": peer.url("/check/a")}, "attempts": 5, "delaySeconds": 0.01}
    assert run(step(peer, "a", verify=verify)).steps[0].verified
    assert asked(peer) == ["do/a", "check/a", "check/a", "check/a"]


def test_a_rollback_that_fails_is_reported_loudly_and_the_others_are_done(
    run: Run, ctx: HandlerContext, peer: Peer
) -> None:
    serve(peer, "do/c", "undo/b")
    error = fault(run, step(peer, "a"), step(peer, "b"), step(peer, "c"))
    assert error.info.code == "rollback_failed"
    assert "b could not be undone: see to it by hand" in error.info.message
    assert error.info.details["rolled_back"] == ["c", "a"]
    assert [item["step"] for item in error.info.details["rollback_failures"]] == ["b"]
    assert [level for level, _ in ctx.logs].count("error") == 1


def test_scripts_roll_back_too_and_fail_with_their_own_reason(run: Run, peer: Peer) -> None:
    serve(peer)
    made = {
        "name": "migrate",
        "run": script("raise SystemExit('no such column')"),
        "rollback": script("print('undone')"),
    }
    error = fault(run, step(peer, "a"), made)
    assert "no such column" in error.info.message
    assert error.info.details["rolled_back"] == ["migrate", "a"]


def test_without_rollback_things_stay_as_they_are(run: Run, peer: Peer) -> None:
    serve(peer, "do/b")
    error = fault(run, step(peer, "a"), step(peer, "b"), rollback=False)
    assert (error.info.code, error.info.details["rolled_back"]) == ("deployment_failed", [])
    assert asked(peer) == ["do/a", "check/a", "do/b"]


def test_one_that_is_cancelled_in_the_middle_is_undone(run: Run, ctx: HandlerContext, peer: Peer) -> None:
    serve(peer)

    def stop(exchange: Exchange) -> None:
        ctx.stop = True
        exchange.reply(200, b'{"status": "ok"}')

    peer.route("/check/b", stop)
    undo = script("result = 'undone'")
    error = fault(run, step(peer, "a", rollback=undo), step(peer, "b"), step(peer, "c"))
    assert isinstance(error, TransientError)
    assert error.info.code == "interrupted"
    assert error.info.details["begun"] == ["a", "b"]
    assert error.info.details["rolled_back"] == ["b", "a"]
    assert asked(peer) == ["do/a", "check/a", "do/b", "check/b", "undo/b"]


def test_a_script_that_is_cancelled_while_it_runs_is_stopped_and_undone(
    run: Run, ctx: HandlerContext, peer: Peer
) -> None:
    serve(peer)
    started = threading.Event()

    def cancel() -> None:
        eventually(lambda: any(item.name == "run slow" for item in ctx.steps), 20, "the slow step is begun")
        ctx.stop = True
        started.set()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    slow = {"name": "slow", "run": script("import time\ntime.sleep(600)"), "rollback": script("result = 1")}
    error = fault(run, step(peer, "a"), slow)
    canceller.join()
    assert error.info.code == "interrupted"
    assert error.info.details["rolled_back"] == ["slow", "a"]


DIES = """
import json, os, sys
from pathlib import Path
from taskengine.delivery.egress import guarded_session
from tests.integration.workers.context import HandlerContext
from workers.automation.deployment import Deployment, DeploymentConfig

class Remembering(HandlerContext):
    def remember(self, space, key, value, **options):
        super().remember(space, key, value, **options)
        Path(sys.argv[2]).write_text(json.dumps([[list(name), kept] for name, kept in self.memory.items()]))

with guarded_session(["127.0.0.1"]) as session:
    ctx = Remembering(session, Path(sys.argv[3]), task_id=sys.argv[4])
    Deployment().run(ctx, DeploymentConfig.model_validate_json(sys.argv[1]))
"""


def test_an_attempt_whose_worker_died_is_undone_by_the_next_one(
    run: Run, ctx: HandlerContext, peer: Peer, tmp_path: Path
) -> None:
    serve(peer)
    peer.route("/do/b", lambda exchange: exchange.stall())
    steps = [step(peer, "a"), step(peer, "b")]
    kept = tmp_path / "memory.json"
    config = json.dumps({"steps": steps})
    worker = subprocess.Popen(
        [sys.executable, "-c", DIES, config, str(kept), str(tmp_path), str(ctx.task_id)], cwd=ROOT, env=dict(os.environ)
    )
    eventually(lambda: "do/b" in asked(peer), 30, "the second step is begun")
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    ctx.memory.update({(name[0], name[1]): value for name, value in json.loads(kept.read_text())})
    peer.requests.clear()
    serve(peer)
    output = run(*steps)
    assert output.undone_before == ["b", "a"]
    assert asked(peer) == ["undo/b", "undo/a", "do/a", "check/a", "do/b", "check/b"]
    assert ctx.memory == {}
    keys = [key for request in peer.requests if (key := request.headers.get("idempotency-key"))]
    # What is done again is no repetition: under the key of the attempt that died it would not be done.
    assert keys == [f"{ctx.idempotency_key}-{rest}" for rest in ("0-b-rollback", "0-a-rollback", "1-a-run", "1-b-run")]


def test_what_is_done_again_after_it_was_undone_has_a_key_of_its_own(run: Run, ctx: HandlerContext, peer: Peer) -> None:
    serve(peer, "check/a")
    assert fault(run, step(peer, "a")).info.code == "deployment_failed"
    serve(peer)
    run(step(peer, "a"))
    keys = [request.headers["idempotency-key"] for request in peer.requests if request.path == "/do/a"]
    assert keys == [f"{ctx.idempotency_key}-0-a-run", f"{ctx.idempotency_key}-1-a-run"]
    assert ctx.memory == {}


def test_a_call_carries_its_credentials_and_the_same_key_when_it_comes_again(
    run: Run, ctx: HandlerContext, peer: Peer
) -> None:
    serve(peer, "do/a")
    call = {"method": "POST", "url": peer.url("/do/a"), "body": {"x": 1}, "bearerToken": "t0ken"}
    fault(run, {"name": "a", "run": {"http": call, "attempts": 2, "delaySeconds": 0}})
    first, second = peer.requests
    assert first.headers["authorization"] == "Bearer t0ken"
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == f"{ctx.idempotency_key}-0-a-run"
    assert "t0ken" not in ctx.everything()


def test_a_call_to_a_private_address_is_refused(run: Run) -> None:
    error = fault(run, {"name": "a", "run": {"http": {"url": "http://127.0.0.2/x"}}})
    assert error.info.details["error"]["code"] == "egress_refused"


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [{"name": "a"}],
        [{"name": "a", "run": {}}],
        [{"name": "a", "run": {"script": {"code": "x"}, "http": {"url": "https://example.com"}}}],
        [{"name": "a", "run": {"script": {}}}],
        [{"name": "a", "run": script("x")}, {"name": "a", "run": script("y")}],
        [{"name": "", "run": script("x")}],
        [{"name": "a", "run": script("x", attempts=0)}],
    ],
)
def test_a_config_that_makes_no_sense_is_refused(steps: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        DeploymentConfig.model_validate({"steps": steps})
