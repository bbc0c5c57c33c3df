"""Every process knows every task type; the libraries that only a run of some type needs, it does not load for that."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAVY = (
    *("playwright", "extruct", "rdflib", "mf2py", "pyRdfa", "bs4", "lxml", "trafilatura", "htmldate"),
    *("reportlab", "PIL", "pygal", "xlsxwriter"),
    *("lizard", "junitparser", "pyseccomp", "openai"),
    *("alembic", "mako"),
)

# What every process does at its start, and what the API does with a task that is submitted.
START = f"""
import json, sys
import api.app, api.wsgi, taskengine.cli.main, workers.app, workers.beat, workers.messages
from taskengine.handlers import registry
from workers.outfit import outfit

outfit(workers.app.settings)
for handler in registry.load():
    config = handler.Config.model_validate(dict(handler.example))
    handler.line(config), handler.due(config)
    handler.Config.model_json_schema(), handler.Output.model_json_schema()
print(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))
"""


def test_no_process_loads_at_its_start_what_only_a_run_needs() -> None:
    started = subprocess.run([sys.executable, "-c", START], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(started.stdout) == [], "import it where it is used (see docs/how-to/add-a-task-type.md)"


@pytest.mark.parametrize("name", HEAVY)
def test_the_libraries_are_called_so(name: str) -> None:
    assert importlib.util.find_spec(name) is not None
