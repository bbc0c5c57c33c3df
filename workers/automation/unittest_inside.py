"""Runs the unittest tests of the working folder and writes a JUnit report, inside the sandbox, where nothing else may
be installed. It imports nothing of this project.
"""

from __future__ import annotations

import re
import sys
import time
import unittest
from xml.etree import ElementTree

REPORT = "junit.xml"


class Recorder(unittest.TextTestResult):
    """A result that remembers each test with its time."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.suite = ElementTree.Element("testsuite", name="unittest")
        self.began = time.perf_counter()

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        """Note when it began."""
        super().startTest(test)
        self.began = time.perf_counter()

    def note(self, test: unittest.TestCase, kind: str = "", message: str = "", text: str = "") -> None:
        """Add it to the report."""
        group, _, name = test.id().rpartition(".")
        case = ElementTree.SubElement(
            self.suite,
            "testcase",
            classname=printable(group),
            name=printable(name),
            time=f"{time.perf_counter() - self.began:.4f}",
        )
        if kind:
            ElementTree.SubElement(case, kind, message=printable(message)).text = printable(text)

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        """It passed."""
        super().addSuccess(test)
        self.note(test)

    def addFailure(self, test: unittest.TestCase, err: object) -> None:  # noqa: N802
        """An assertion failed."""
        super().addFailure(test, err)  # type: ignore[arg-type]
        self.note(test, "failure", str(err[1]), self.failures[-1][1])  # type: ignore[index]

    def addError(self, test: unittest.TestCase, err: object) -> None:  # noqa: N802
        """It raised something else."""
        super().addError(test, err)  # type: ignore[arg-type]
        self.note(test, "error", str(err[1]), self.errors[-1][1])  # type: ignore[index]

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        """It was skipped."""
        super().addSkip(test, reason)
        self.note(test, "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: object) -> None:  # noqa: N802
        """It failed as it should."""
        super().addExpectedFailure(test, err)  # type: ignore[arg-type]
        self.note(test)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        """It should have failed."""
        super().addUnexpectedSuccess(test)
        self.note(test, "failure", "unexpected success")

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: object) -> None:  # noqa: N802
        """A part of it ended; only failed parts are cases of their own."""
        super().addSubTest(test, subtest, err)  # type: ignore[arg-type]
        if err is not None:
            kind = "failure" if issubclass(err[0], test.failureException) else "error"  # type: ignore[index]
            self.note(test, kind, str(err[1]), str(subtest))  # type: ignore[index]


def printable(text: str) -> str:
    """Text with U+FFFD for what XML cannot hold."""
    return re.sub("[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def main() -> None:
    """Find the tests, run them, write the report."""
    sys.path.insert(0, "/work")
    suite = unittest.defaultTestLoader.discover("/work", pattern=sys.argv[1] if sys.argv[1:] else "test*.py")
    result = unittest.TextTestRunner(resultclass=Recorder, verbosity=1).run(suite)
    assert isinstance(result, Recorder)
    ElementTree.ElementTree(result.suite).write(REPORT, encoding="utf-8")
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
