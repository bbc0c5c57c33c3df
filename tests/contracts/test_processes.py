"""Procfile, docker-compose.yml, Dockerfile and the supervisor start the same processes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from config.processes import KINDS, Process, processes
from config.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
ENV_FILE = {
    "POSTGRES_PASSWORD": "secret",
    "TASKENGINE_ENCRYPTION_KEY": "c2VjcmV0",
    "TASKENGINE_BOOTSTRAP_API_KEY": "0123456789abcdef",
    "TASKENGINE_FLOWER_AUTH": "admin:secret",
}


def by_name(settings: Settings) -> dict[str, Process]:
    return {process.name: process for process in processes(settings)}


def procfile() -> dict[str, str]:
    lines = (ROOT / "Procfile").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines if not line.startswith("#"))


def expanded_by_sh(command: str, environment: dict[str, str]) -> tuple[str, ...]:
    """The words that a shell makes of a Procfile line."""
    script = f"set -f; printf '%s\\n' {command}"
    output = subprocess.run(["sh", "-c", script], env=environment, check=True, capture_output=True, text=True).stdout
    return tuple(output.splitlines())


def interpolated(value: Any, environment: dict[str, str]) -> Any:
    """A compose file's values with its variables replaced, as the compose specification says.

    A variable of a container without a value is the one of the environment, and left out where that has none.
    """
    if isinstance(value, dict):
        filled = {
            key: environment.get(key) if item is None and key.startswith(PREFIX) else interpolated(item, environment)
            for key, item in value.items()
        }
        return {key: item for key, item in filled.items() if item is not None or value[key] is not None}
    if isinstance(value, list):
        return [interpolated(item, environment) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        name, operator, operand = match["name"], match["operator"], match["operand"]
        if environment.get(name):
            return environment[name]
        assert operator == ":-", f"{name} is needed: {operand}"
        return operand

    return re.sub(r"(?P<escaped>\$\$)|\$\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<operand>[^}]*))?\}", replace, value)


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def services(compose: Any) -> Any:
    return interpolated(compose["services"], ENV_FILE)


def settings_in(service: dict[str, Any]) -> Settings:
    """The settings that a container of the service would read."""
    fields = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in service["environment"].items()
        if name.startswith(PREFIX)
    }
    return Settings(**fields)


def test_the_list_names_every_kind_once_in_order() -> None:
    assert tuple(process.name for process in processes(Settings())) == KINDS
    assert set(KINDS) == {
        *("api", "beat", "flower"),
        *("worker-browser", "worker-integration", "worker-reporting", "worker-automation", "worker-control"),
    }


def test_a_queue_of_size_zero_has_no_worker() -> None:
    assert "worker-browser" not in by_name(Settings(workers="browser=0"))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"host": "0.0.0.0", "port": "9000", "flower_port": "9001", "api_threads": "5", "log_level": "DEBUG"},
    ],
)
def test_procfile_and_supervisor_run_the_same_commands(changed: dict[str, str]) -> None:
    environment = {"PATH": "/usr/bin:/bin"} | {PREFIX + name.upper(): value for name, value in changed.items()}
    commands = {name: expanded_by_sh(command, environment) for name, command in procfile().items()}
    assert commands == {name: process.argv for name, process in by_name(Settings.model_validate(changed)).items()}


def test_compose_runs_the_same_commands(services: Any) -> None:
    for name in KINDS:
        process = by_name(settings_in(services[name]))[name]
        assert tuple(services[name]["command"]) == process.argv


def test_compose_hands_every_setting_through(compose: Any) -> None:
    ours = {
        "egress_allow": "10.0.0.0/8",
        "api_threads": "5",
        "retention_days": "7",
        "celery_app": "shop:app",
        "log_level": "DEBUG",
        "log_json": "true",
    }
    environment = ENV_FILE | {PREFIX + name.upper(): value for name, value in ours.items()}
    filled = interpolated(compose["services"], environment)
    for name in KINDS:
        read = settings_in(filled[name])
        assert {field: str(getattr(read, field)).replace("True", "true") for field in ours} == ours
        assert tuple(filled[name]["command"]) == by_name(read)[name].argv
    # The containers' own addresses, the command line's, and what only one of them needs.
    elsewhere = {"port", "flower_port", "url", "api_key", "flower_auth", "bootstrap_api_key"}
    handed = {name.removeprefix(PREFIX).lower() for name in compose["services"]["api"]["environment"]}
    assert handed == set(Settings.model_fields) - elsewhere


def test_compose_has_the_processes_and_what_they_stand_on_and_nothing_else(services: Any) -> None:
    assert set(services) == {*KINDS, "postgres", "redis", "prepare"}


def test_compose_gives_flower_its_password_as_the_supervisor_does(services: Any) -> None:
    ours = by_name(Settings.model_validate({"flower_auth": ENV_FILE["TASKENGINE_FLOWER_AUTH"]}))["flower"]
    assert services["flower"]["environment"].items() >= ours.environment.items()
    assert ours.environment == {"FLOWER_BASIC_AUTH": "admin:secret"}


def test_compose_demands_the_flower_password(compose: Any) -> None:
    with pytest.raises(AssertionError, match="TASKENGINE_FLOWER_AUTH is needed"):
        interpolated(compose["services"]["flower"], ENV_FILE | {"TASKENGINE_FLOWER_AUTH": ""})


def test_compose_runs_beat_twice_and_lets_every_worker_scale(services: Any) -> None:
    assert services["beat"]["deploy"]["replicas"] == 2
    for name in KINDS:
        assert "container_name" not in services[name]
        assert "hostname" not in services[name]
        assert "ports" not in services[name] or name in {"api", "flower"}


def test_compose_checks_the_health_of_what_can_be_asked(services: Any) -> None:
    asked = {name for name, service in services.items() if "test" in service.get("healthcheck", {})}
    assert asked == {*KINDS, "postgres", "redis"} - {"beat"}


def test_compose_meets_the_compose_specification(compose: Any, services: Any) -> None:
    vendored = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(vendored.read_text())
    for document in (compose, compose | {"services": services}):
        jsonschema_rs.validate(schema, document)


def test_the_image_runs_the_api_by_default_and_not_as_root() -> None:
    instructions = [
        line.split(None, 1) for line in (ROOT / "Dockerfile").read_text().splitlines() if line and line[0].isupper()
    ]
    said = {name: rest for name, rest in instructions if name in {"USER", "CMD"}}
    assert said["USER"] == "taskengine"
    assert tuple(json.loads(said["CMD"])) == by_name(Settings(host="0.0.0.0"))["api"].argv


def test_no_command_line_holds_a_secret() -> None:
    settings = Settings.model_validate(
        {"flower_auth": "admin:hidden-word", "redis_url": "redis://:hidden-word@h/0", "encryption_key": "hidden-word"}
    )
    for process in processes(settings):
        assert "hidden-word" not in shlex.join(process.argv)
