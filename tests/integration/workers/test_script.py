"""script: programs in Python, JavaScript and by command, and functions that run elsewhere."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook

from taskengine.delivery.signing import new_secret
from taskengine.domain.errors import HandlerError, PermanentError, TransientError
from taskengine.domain.outcome import Succeeded
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Exchange, Peer
from workers.automation import program
from workers.automation.script import Script, ScriptConfig, ScriptOutput

Run = Callable[..., ScriptOutput]


@pytest.fixture
def run(ctx: HandlerContext) -> Run:
    """Run a script with these config fields; its output or its error."""

    def run(code: str | None = None, **fields: Any) -> ScriptOutput:
        config = ScriptConfig.model_validate(({"code": code} if code is not None else {}) | fields)
        outcome = Script().run(ctx, config)
        assert isinstance(outcome, Succeeded)
        assert isinstance(outcome.result, ScriptOutput)
        return outcome.result

    return run


@pytest.fixture
def allowed() -> Iterator[None]:
    program.configure(["cat", "/usr/bin/tee", "no-such-program"])
    yield
    program.configure([])


def fault(run: Run, *args: Any, **fields: Any) -> HandlerError:
    with pytest.raises(HandlerError) as caught:
        run(*args, **fields)
    return caught.value


def test_main_gets_the_input_and_what_it_returns_is_the_result(run: Run) -> None:
    output = run("def main(input):\n    return {'sum': sum(input['n']), 'ä': None}", input={"n": [1, 2.5]})
    assert output.result == {"sum": 3.5, "ä": None}
    assert (output.executor, output.program and output.program.exit_code) == ("sandbox", 0)


def test_a_script_without_main_has_a_variable_input_and_sets_a_variable_result(run: Run) -> None:
    assert run("result = [item * 2 for item in input]", input=[1, 2]).result == [2, 4]


def test_a_main_without_parameters_is_the_scripts_own(run: Run) -> None:
    code = "def main():\n    print('{\"ran\": 1}')\nif __name__ == '__main__':\n    main()"
    assert run(code).result == {"ran": 1}


def test_the_result_may_stand_in_the_last_line_of_stdout(run: Run) -> None:
    assert run("print('working')\nprint('{\"a\": [1]}')").result == {"a": [1]}
    assert run("print('no JSON')").result is None


def test_a_script_may_import_the_files_that_came_with_it(run: Run) -> None:
    files = {"shop/__init__.py": "", "shop/vat.py": "RATE = 19", "data.json": '{"net": 100}'}
    code = "import json\nfrom shop.vat import RATE\nresult = json.load(open('data.json'))['net'] * (100 + RATE) / 100"
    assert run(code, files=files).result == 119


def test_environment_variables_reach_it(run: Run) -> None:
    assert run("import os\nresult = os.environ['SHOP']", env={"SHOP": "north"}).result == "north"


def test_javascript_returns_its_result_or_calls_main(run: Run) -> None:
    assert run("return {twice: input.n * 2}", language="javascript", input={"n": 4}).result == {"twice": 8}
    code = "const {sep} = require('path');\nasync function main(input) { await null; return [sep, input] }"
    assert run(code, language="javascript", input="x").result == ["/", "x"]


def test_javascript_that_throws_fails_with_its_error(run: Run) -> None:
    error = fault(run, "throw new TypeError('no price')", language="javascript")
    assert error.info.code == "script_failed"
    assert "TypeError: no price" in error.info.message


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("throw new Error('first')", "/work/script.js:1:7"),
        ("const x = 1;\nfunction f() {\n  throw new Error('third');\n}\nf();", "/work/script.js:3:9"),
        ("const x = 1;\nreturn {;", "/work/script.js:2"),
        ("await null;\nawait Promise.reject(new Error('second'))", "/work/script.js:2:22"),
    ],
)
def test_javascript_that_throws_names_the_line_of_the_script(run: Run, code: str, place: str) -> None:
    assert place in fault(run, code, language="javascript").info.details["stderr"]


def test_javascript_imports_modules(run: Run) -> None:
    files = {"own.mjs": "export const own = 2;"}
    code = "const {sep} = await import('node:path'); const {own} = await import('./own.mjs'); return [sep, own]"
    assert run(code, language="javascript", files=files).result == ["/", 2]


def test_an_integer_that_cannot_be_stored_is_refused_and_not_rounded(run: Run) -> None:
    assert run(f"result = {2**64 - 1}").result == 2**64 - 1
    error = fault(run, "result = {'id': 2**70}")
    assert error.info.code == "bad_result"
    assert "send it as a string" in error.info.message
    assert run("print(2**70)").result is None


@pytest.fixture
def no_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on whose path no node is."""
    monkeypatch.setattr(program, "SEARCHED", str(tmp_path))


def test_the_browsers_driver_brings_a_node_where_the_machine_has_none(run: Run, no_node: None) -> None:
    assert run("return process.execPath", language="javascript").result == "/opt/node/node"


def test_a_worker_without_any_node_says_so(run: Run, no_node: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "playwright", None)  # as if it were not installed
    assert fault(run, "return 1", language="javascript").info.code == "no_javascript"


def test_an_allowed_command_reads_the_input_as_json(run: Run, allowed: None) -> None:
    assert run(language="command", command=["cat"], input={"a": "b"}).result == {"a": "b"}
    output = run(language="command", command=["/usr/bin/tee", "copy.json"], input=[1], artifacts=["copy.json"])
    assert [(kept.name, kept.content_type, kept.size_bytes) for kept in output.artifacts] == [
        ("copy.json", "application/json", 3)
    ]


def test_python_and_node_are_commands_that_need_no_permission(run: Run) -> None:
    code = "import json, sys; print(json.dumps(json.load(sys.stdin)[::-1]))"
    assert run(language="command", command=["python3", "-c", code], input=[1, 2]).result == [2, 1]
    assert run(language="command", command=["node", "-p", "6 * 7"]).result == 42


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("bash", "command_not_allowed"),
        ("/usr/bin/cat", "command_not_allowed"),
        ("no-such-program", "command_unavailable"),
    ],
)
def test_other_commands_are_refused(run: Run, allowed: None, command: str, code: str) -> None:
    assert fault(run, language="command", command=[command]).info.code == code


def test_an_exit_code_fails_it_with_what_it_said(run: Run, ctx: HandlerContext) -> None:
    error = fault(run, "import sys\nprint('before')\nsys.stderr.write('disk is gone\\n')\nsys.exit(3)")
    assert isinstance(error, PermanentError)
    assert error.info.message == "the program ended with exit code 3: disk is gone"
    assert error.info.details["exit_code"] == 3
    assert error.info.details["stdout"] == "before\n"
    assert ("info", "before {'stream': 'stdout'}") in ctx.logs


def test_an_error_names_the_line_of_the_script_and_no_line_of_ours(run: Run) -> None:
    error = fault(run, "def main(input):\n    return 1 / input", input=0)
    assert error.info.message.endswith("ZeroDivisionError: division by zero")
    assert 'File "/work/script.py", line 2, in main' in error.info.details["stderr"]
    assert "wrapper" not in error.info.details["stderr"]


@pytest.mark.parametrize(
    "code", ["result = float('nan')", "result = {1, 2}", "import os\nopen(os.environ['RESULT_FILE'], 'w').write('{')"]
)
def test_a_result_that_is_no_json_is_refused(run: Run, code: str) -> None:
    assert fault(run, code).info.code in {"script_failed", "bad_result"}


def test_much_output_is_logged_up_to_a_limit(run: Run, ctx: HandlerContext) -> None:
    output = run("for n in range(5000): print('line', n)")
    assert output.program is not None
    assert output.program.stdout.startswith("…")
    assert output.program.stdout.endswith("line 4999\n")
    assert len(ctx.logs) == 201
    assert "4800 more lines" in ctx.logs[-1][1]


def test_bytes_that_are_no_text_are_shown_as_what_they_are_not(run: Run) -> None:
    output = run("import os\nos.write(1, b'\\xff\\x00\\x1b[31m\\n')")
    assert output.program is not None
    assert output.program.stdout == "\ufffd\ufffd\x1b[31m\n"


def test_a_file_that_is_not_there_cannot_be_stored(run: Run) -> None:
    error = fault(run, "result = 1", artifacts=["out/report.csv"])
    assert (error.info.code, error.info.details) == ("no_such_file", {"path": "out/report.csv"})


def test_a_link_is_not_stored_in_place_of_a_file(run: Run) -> None:
    code = "import os\nos.symlink('/usr/bin/env', 'a')\nos.symlink('/usr', 'b')"
    assert fault(run, code, artifacts=["a"]).info.code == "no_such_file"
    assert fault(run, code, artifacts=["b/bin/env"]).info.code == "no_such_file"


def test_nobody_gets_more_than_the_operator_allows(run: Run) -> None:
    error = fault(run, "result = 1", limits={"memoryMb": 10**6})
    assert error.info.code == "limit_too_high"
    assert error.info.details["field"] == "limits.memory_mb"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"language": "python"},
        {"language": "command"},
        {"language": "command", "command": []},
        {"code": "x", "command": ["cat"]},
        {"code": "x", "files": {"../x": "y"}},
        {"code": "x", "files": {"/etc/x": "y"}},
        {"code": "x", "artifacts": ["a/../../b"]},
        {"code": "x", "env": {"A=B": "c"}},
        {"code": "x", "functionUrl": "https://example.com"},
        {"executor": "remote"},
        {"executor": "remote", "functionUrl": "https://example.com"},
        {"executor": "remote", "functionUrl": "https://e.com", "functionSecret": "x", "code": "y"},
        {"code": "x", "limits": {"wallSeconds": 0}},
        {"code": "x", "limits": {"cores": 4}},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScriptConfig.model_validate(fields)


def remote(url: str, secret: str, **fields: Any) -> dict[str, Any]:
    return {"executor": "remote", "functionUrl": url, "functionSecret": secret, **fields}


def test_a_remote_function_gets_the_signed_input_and_its_answer_is_the_result(
    run: Run, ctx: HandlerContext, peer: Peer
) -> None:
    secret = new_secret()
    url = peer.route("/fn", lambda exchange: exchange.reply(200, b'{"total": 3}'))
    output = run(**remote(url, secret, input={"prices": [1, 2]}))
    assert (output.result, output.executor, output.program) == ({"total": 3}, "remote", None)
    [request] = peer.requests
    assert (request.method, json.loads(request.body)) == ("POST", {"prices": [1, 2]})
    assert Webhook(secret).verify(request.body, request.headers) == {"prices": [1, 2]}
    assert request.headers["x-amz-invocation-type"] == "RequestResponse"
    assert request.headers["idempotency-key"] == ctx.idempotency_key
    assert secret in ctx.hidden


def test_an_error_of_the_function_fails_the_task_with_its_type_and_message(run: Run, peer: Peer) -> None:
    body = b'{"errorType": "ValueError", "errorMessage": "no prices", "stackTrace": ["File x, line 1"]}'
    url = peer.route("/fn", lambda exchange: exchange.reply(200, body, X_Amz_Function_Error="Unhandled"))
    error = fault(run, **remote(url, new_secret()))
    assert isinstance(error, PermanentError)
    assert (error.info.code, error.info.message) == ("function_failed", "the function failed: ValueError: no prices")
    assert error.info.details["stack_trace"] == ["File x, line 1"]


@pytest.mark.parametrize(
    ("status", "kind"), [(503, TransientError), (429, TransientError), (403, PermanentError), (302, PermanentError)]
)
def test_a_status_says_whether_it_is_tried_again(run: Run, peer: Peer, status: int, kind: type[HandlerError]) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.reply(status, b"no", Location=peer.url("/elsewhere"))

    error = fault(run, **remote(peer.route("/fn", answer), new_secret()))
    assert isinstance(error, kind)
    assert error.info.code == "http_status"
    assert len(peer.requests) == 1


def test_a_function_that_does_not_answer_runs_into_the_time_limit(run: Run, peer: Peer) -> None:
    url = peer.route("/fn", lambda exchange: exchange.stall())
    error = fault(run, **remote(url, new_secret(), limits={"wallSeconds": 0.3}))
    assert isinstance(error, TransientError)
    assert error.info.code == "http_timeout"


def test_a_function_on_a_private_address_is_refused(run: Run) -> None:
    assert fault(run, **remote("http://127.0.0.2:9/fn", new_secret())).info.code == "egress_refused"


def test_a_secret_that_is_none_is_named(run: Run, peer: Peer) -> None:
    short = "whsec_" + base64.b64encode(os.urandom(4)).decode()
    error = fault(run, **remote(peer.url("/fn"), short))
    assert error.info.code == "bad_function_secret"
    assert peer.requests == []
