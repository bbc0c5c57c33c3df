"""testing: real test programs in the sandbox, and their reports."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from taskengine.domain.errors import HandlerError
from taskengine.domain.outcome import Succeeded
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.peers import Peer
from workers.automation import code_source
from workers.automation.testing import Testing, TestingConfig, TestingOutput

Run = Callable[..., TestingOutput]

TESTS = """
import time, unittest
from prices import price

class Prices(unittest.TestCase):
    def test_it_adds_vat(self):
        self.assertEqual(price(100), 119)
    def test_it_is_slow(self):
        time.sleep(0.05)
    @unittest.skip("later")
    def test_it_is_skipped(self):
        pass
"""
BAD = """
    def test_it_fails(self):
        self.assertEqual(price(1), 1, "a price")
    def test_it_breaks(self):
        price(None)
"""
PRICES = "def price(net, vat=19):\n    return net * (100 + vat) / 100\n"
GOOD_FILES = {"prices.py": PRICES, "test_prices.py": TESTS}
BAD_FILES = {"prices.py": PRICES, "test_prices.py": TESTS + BAD}


@pytest.fixture
def run(ctx: HandlerContext) -> Run:
    """Run tests with these config fields; the output or the error."""

    def run(**fields: Any) -> TestingOutput:
        outcome = Testing().run(ctx, TestingConfig.model_validate(fields))
        assert isinstance(outcome, Succeeded)
        assert isinstance(outcome.result, TestingOutput)
        return outcome.result

    return run


@pytest.fixture
def code_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that the operator allows to be read, though only its owner may."""
    folder = tmp_path / "code"
    folder.mkdir(mode=0o700)
    code_source.configure([str(folder)])
    yield folder
    code_source.configure([])


def fault(run: Run, **fields: Any) -> HandlerError:
    with pytest.raises(HandlerError) as caught:
        run(**fields)
    return caught.value


def writes(report: str, exit_code: int = 0) -> dict[str, Any]:
    """A command that writes this as its report."""
    code = f"import sys; open('junit.xml', 'w').write({report!r}); sys.exit({exit_code})"
    return {"files": {"x": ""}, "framework": "command", "command": ["python3", "-c", code]}


def test_totals_and_the_slowest_are_told(run: Run) -> None:
    output = run(files=GOOD_FILES)
    totals = output.totals
    assert (totals.tests, totals.passed, totals.failed, totals.errors, totals.skipped) == (3, 2, 0, 0, 1)
    assert output.slowest[0].name == "test_prices.Prices.test_it_is_slow"
    assert output.failures == []


def test_failures_fail_the_task_with_the_whole_result(run: Run) -> None:
    error = fault(run, files=BAD_FILES)
    assert error.info.code == "tests_failed"
    assert error.info.message.startswith("2 of 5 tests failed: ")
    by_name = {item["name"]: item for item in error.info.details["failures"]}
    failed = by_name["test_prices.Prices.test_it_fails"]
    assert (failed["status"], "a price" in failed["message"]) == ("failed", True)
    assert by_name["test_prices.Prices.test_it_breaks"]["status"] == "error"
    assert error.info.details["totals"]["passed"] == 2


def test_what_fails_the_task_can_be_chosen(run: Run) -> None:
    assert run(files=BAD_FILES, failOn="never").totals.failed == 1
    assert fault(run, files=BAD_FILES, failOn="errors").info.message.startswith("1 of 5 tests failed")
    only_failures = {"prices.py": PRICES, "test_prices.py": TESTS + BAD[: BAD.index("    def test_it_breaks")]}
    assert run(files=only_failures, failOn="errors").totals.failed == 1


def test_node_runs_its_tests(run: Run) -> None:
    code = "const test = require('node:test');\ntest('adds', () => {});\ntest.skip('later', () => {});"
    totals = run(files={"sum.test.js": code}, framework="node").totals
    assert (totals.tests, totals.passed, totals.skipped) == (2, 1, 1)


def test_the_report_of_a_command_is_read(run: Run) -> None:
    report = (
        '<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="outer"><testsuite name="inner">'
        '<testcase classname="a" name="b" time="1.5"/></testsuite><testcase name="c"><failure message="m">t</failure>'
        "</testcase></testsuite></testsuites>"
    )
    output = run(**writes(report), failOn="never", artifacts=["junit.xml"])
    assert (output.totals.tests, output.totals.failed, output.totals.seconds) == (2, 1, 1.5)
    assert [kept.name for kept in output.artifacts] == ["junit.xml"]


def test_a_program_that_fails_though_its_tests_passed_is_not_believed(run: Run) -> None:
    error = fault(run, **writes('<testsuite><testcase name="a"/></testsuite>', exit_code=2))
    assert error.info.code == "tests_failed"
    assert "all 1 tests passed, but the program ended with exit code 2" in error.info.message


@pytest.mark.parametrize(
    "report",
    [
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><testsuite><testcase name="&b;"/></testsuite>',
        '<?xml version="1.0"?>\n<!-- a --> <?b c?><!DOCTYPE a SYSTEM "file:///etc/passwd"><testsuite/>',
        '<!DOCTYPE a [<!ENTITY b "xxxxxxxxxx"><!ENTITY c "&b;&b;&b;">]><testsuite name="&c;"/>',
        "no report",
        "",
        "<testsuite>",
    ],
    ids=["a file of the machine", "a document type after other things", "a bomb", "text", "nothing", "half a report"],
)
def test_a_report_that_is_none_is_refused(run: Run, report: str) -> None:
    assert fault(run, **writes(report)).info.code == "bad_report"


def test_what_tests_print_is_no_fault_of_their_report(run: Run) -> None:
    report = (
        "<?xml version='1.0'?><testsuite><testcase name='a' time='nan'><failure message='m'>"
        "<![CDATA[<!DOCTYPE html><p>]]></failure></testcase><testcase name='b' time='inf'/></testsuite>"
    )
    output = run(**writes(report), failOn="never")
    assert (output.totals.failed, output.totals.passed, output.totals.seconds) == (1, 1, 0)
    assert output.failures[0].text == "<!DOCTYPE html><p>"


def test_messages_that_xml_cannot_hold_are_told_as_far_as_they_are(run: Run) -> None:
    code = """
import unittest
class Odd(unittest.TestCase):
    def test_odd(self):
        raise RuntimeError("a\\x00\\x1b\\ud800\\uffffb")
    def test_parts(self):
        for number in range(3):
            with self.subTest(number):
                self.assertEqual(number, 0)
                1 / 0
        with self.subTest("last"):
            1 / 0
"""
    output = run(files={"test_odd.py": code}, failOn="never")
    assert (output.totals.failed, output.totals.errors) == (2, 3)
    assert "a\ufffd\ufffd\ufffd\ufffdb" in [failure.message for failure in output.failures]


def test_no_report_is_an_error(run: Run) -> None:
    nothing = {"files": {"x": ""}, "framework": "command", "command": ["python3", "-c", "pass"]}
    assert fault(run, **nothing).info.code == "no_report"
    assert fault(run, **nothing | {"command": ["python3", "-c", "1/0"]}).info.code == "script_failed"


def test_tests_may_call_servers_of_their_own_and_nobody_elses(run: Run, peer: Peer) -> None:
    code = f"""
import http.client, http.server, threading, unittest

class Served(unittest.TestCase):
    def test_own(self):
        server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
        threading.Thread(target=server.handle_request, daemon=True).start()
        calling = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
        calling.request("GET", "/")
        self.assertEqual(calling.getresponse().status, 200)
    def test_others(self):
        with self.assertRaises(ConnectionRefusedError):
            http.client.HTTPConnection("127.0.0.1", {peer.port}, timeout=5).connect()
        with self.assertRaises(OSError):
            http.client.HTTPConnection("10.0.0.1", 80, timeout=5).connect()
"""
    assert run(files={"test_served.py": code}, loopback=True).totals.passed == 2
    assert fault(run, files={"test_served.py": code}).info.details["totals"]["passed"] == 0
    assert peer.requests == []


def test_the_tests_of_a_folder_are_run_and_the_folder_is_left_alone(run: Run, code_folder: Path) -> None:
    for name, text in GOOD_FILES.items():
        (code_folder / name).write_text(text)
    (code_folder / ".git").mkdir()
    (code_folder / ".git" / "config").write_text("secret")
    (code_folder / "test_tree.py").write_text(
        "import os, unittest\nclass Tree(unittest.TestCase):\n    def test_tree(self):\n"
        "        open('made', 'w')\n        self.assertFalse(os.path.exists('.git'))\n"
    )
    before = sorted(path.name for path in code_folder.iterdir())
    assert run(path=str(code_folder)).totals.passed == 3
    assert sorted(path.name for path in code_folder.iterdir()) == before


def test_the_tests_of_a_stored_archive_are_run(run: Run, ctx: HandlerContext) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in GOOD_FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    ref = ctx.artifact("code.tar.gz", made.getvalue(), "application/gzip")
    assert run(archive=str(ref.id)).totals.passed == 2
    assert run(artifact=str(ref.id)).totals.passed == 2


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"files": {"a": "b"}, "path": "/x"},
        {"files": {"a": "b"}, "framework": "command"},
        {"files": {"a": "b"}, "command": ["make"]},
        {"files": {"a": "b"}, "reports": ["/junit.xml"]},
        {"files": {"a": "b"}, "reports": []},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TestingConfig.model_validate(fields)
