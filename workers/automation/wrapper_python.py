"""Runs a user's Python script inside the sandbox: gives it ``input``, calls its ``main``, writes what that returns.

It is handed to the sandbox as one file, and imports nothing of this project.
"""

from __future__ import annotations

import builtins
import inspect
import json
import os
import sys
import traceback

SCRIPT = "/work/script.py"
_NOTHING = object()


def call() -> object:
    """Run the script; what its ``main(input)`` returns, or its variable ``result``; a marker if it has neither."""
    with open("/run/input.json", encoding="utf-8") as file:
        given = json.load(file)
    with open(SCRIPT, encoding="utf-8") as file:
        source = file.read()
    sys.argv = [SCRIPT]
    sys.path.insert(0, "/work")
    names = {"__name__": "__main__", "__file__": SCRIPT, "__builtins__": builtins, "input": given}
    exec(compile(source, SCRIPT, "exec", dont_inherit=True), names)
    main = names.get("main")
    if callable(main) and takes_input(main):
        return main(given)
    return names.get("result", _NOTHING)


def takes_input(main: object) -> bool:
    """Whether ``main`` is ours to call: it needs exactly one argument."""
    try:
        signature = inspect.signature(main)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    needed = [item for item in signature.parameters.values() if item.default is item.empty and item.kind in (0, 1)]
    return len(needed) == 1


def run() -> None:
    """Run the script, and show an error of it without this file's own lines."""
    try:
        value = call()
        if value is not _NOTHING:
            text = json.dumps(value, allow_nan=False)
            with open(os.environ["RESULT_FILE"], "w", encoding="utf-8") as file:
                file.write(text)
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        traceback.print_exception(type(error), error, trace)
        sys.exit(1)


if __name__ == "__main__":
    run()
