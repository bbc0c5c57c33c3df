"""Secrets and credentials: encrypted at rest, resolved in the worker, redacted everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from taskengine.domain.errors import Conflict, Invalid, NotFound, PermanentError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.domain.task import PageRequest, TaskChanges
from taskengine.handlers.base import Context
from taskengine.lifecycle import edit, keys, secrets
from taskengine.store.cipher import Cipher, new_key
from tests.conftest import Bench
from tests.integration.lifecycle.conftest import PAGE, Probe, ProbeConfig, last_error

TOKEN = 's3cr3t-value-"quoted"\nand more'


def whole_record(bench: Bench) -> str:
    """Every row of every table, as text."""
    with bench.engine.db.begin() as conn:
        names = conn.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
        return "\n".join(
            str(row[0]) for name in names for row in conn.execute(text(f'SELECT row_to_json(x)::text FROM "{name}" x'))
        )


def put(bench: Bench, name: str = "TOKEN", value: str = TOKEN) -> None:
    secrets.put(bench.engine, bench.caller, name, value)


def run_probe(bench: Bench, config: dict[str, Any]) -> Any:
    (task_id,) = bench.submit({"type": "probe", "config": config, "max_retries": 0})
    bench.work(task_id)
    return task_id


def keeping(keep: Callable[[ProbeConfig], None]) -> Callable[[Context, ProbeConfig], Outcome]:
    """A handler that shows its config to the test."""

    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        keep(config)
        return Succeeded(None)

    return does


def test_secrets_are_written_listed_by_name_and_deleted(bench: Bench) -> None:
    for name in ("B", "A", "C"):
        put(bench, name)
    put(bench, "A", "other")
    first = secrets.listing(bench.engine, bench.caller, PageRequest(limit=2))
    assert [item["name"] for item in first.items] == ["A", "B"]
    assert set(first.items[0]) == {"name", "created_at", "updated_at"}
    rest = secrets.listing(bench.engine, bench.caller, PageRequest(limit=2, cursor=first.next_cursor))
    assert ([item["name"] for item in rest.items], rest.next_cursor) == (["C"], None)
    secrets.delete(bench.engine, bench.caller, "A")
    with pytest.raises(NotFound):
        secrets.delete(bench.engine, bench.caller, "A")


@pytest.mark.parametrize("name", ["", "1A", "a-b", "a b", "ä", "A" * 101, "A\n"])
def test_odd_names_are_refused(bench: Bench, name: str) -> None:
    with pytest.raises(Invalid):
        put(bench, name)


@pytest.mark.parametrize("value", ["", "x" * 65_537])
def test_values_have_a_length(bench: Bench, value: str) -> None:
    with pytest.raises(Invalid):
        put(bench, "A", value)


def test_at_rest_there_is_only_ciphertext(bench: Bench) -> None:
    put(bench)
    bench.submit({"type": "echo", "config": {"message": {"password": TOKEN, "nested": [{"apiKey": TOKEN}]}}})
    assert "s3cr3t-value" not in whole_record(bench)


def test_a_template_gets_the_secret_and_nothing_else_shows_it(bench: Bench, probe: Probe) -> None:
    put(bench)
    seen: list[Any] = []

    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        seen.append(config.value)
        ctx.log(f"log {config.value}", secret=config.value)
        ctx.progress(0.5, f"progress {config.value}")
        with ctx.step(f"step {config.value}") as step:
            step.result({"value": [config.value]})
        ctx.artifact(f"name {config.value}", b"", "text/plain")
        return Succeeded({"result": config.value, f"{config.value}": 1})

    probe.does = does
    task_id = run_probe(bench, {"value": "{{ secrets.TOKEN }}"})
    assert seen == [TOKEN]
    assert bench.task(task_id)["result"] == {"result": "***", "***": 1}
    assert "s3cr3t-value" not in whole_record(bench)


@pytest.mark.parametrize("kind", [PermanentError, ValueError])
def test_errors_do_not_show_it_either(bench: Bench, probe: Probe, kind: type[Exception]) -> None:
    put(bench)

    def does(ctx: Context, config: ProbeConfig) -> Outcome:
        value = ctx.secret("TOKEN")
        with ctx.step("failing"):
            raise kind("code", value, {"detail": (value, {value})}) if kind is PermanentError else kind(value)

    probe.does = does
    task_id = run_probe(bench, {})
    assert bench.task(task_id)["status"] == "failed"
    assert "s3cr3t-value" not in whole_record(bench)
    assert "***" in last_error(bench, task_id)["message"]


def test_a_part_of_a_text_may_be_a_secret(bench: Bench, probe: Probe) -> None:
    put(bench, "USER", "ada-lovelace")
    seen: list[Any] = []
    probe.does = keeping(lambda config: seen.append(config.value))
    run_probe(bench, {"value": "Bearer {{ secrets.USER }}!"})
    assert seen == ["Bearer ada-lovelace!"]


def test_an_unknown_secret_fails_for_good_and_is_named(bench: Bench, probe: Probe) -> None:
    task_id = run_probe(bench, {"value": "{{ secrets.NOPE }}"})
    assert last_error(bench, task_id)["code"] == "unknown_secret"
    assert "NOPE" in last_error(bench, task_id)["message"]


def test_another_organizations_secret_is_unknown(bench: Bench, probe: Probe) -> None:
    keys.add_organization(bench.engine, "other")
    secrets.put(bench.engine, keys.local_caller(bench.engine, "other"), "TOKEN", "theirs")
    task_id = run_probe(bench, {"value": "{{ secrets.TOKEN }}"})
    assert last_error(bench, task_id)["code"] == "unknown_secret"


@pytest.mark.parametrize("template", ["{{ secrets }}", "{{ secrets._get }}", "{{ secrets.__class__ }}"])
def test_the_secrets_themselves_cannot_be_listed(bench: Bench, probe: Probe, template: str) -> None:
    put(bench)
    task_id = run_probe(bench, {"value": template})
    assert bench.task(task_id)["status"] == "failed"


def test_a_faulty_template_fails_for_good(bench: Bench, probe: Probe) -> None:
    task_id = run_probe(bench, {"value": "{{ nope.x }}"})
    assert (last_error(bench, task_id)["code"], bench.task(task_id)["status"]) == ("template_error", "failed")


def test_a_template_that_renders_to_what_does_not_fit_fails_for_good(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"sleep_seconds": "{{ 'long' }}"}})
    bench.work(task_id)
    error = last_error(bench, task_id)
    assert error["code"] == "invalid_config"
    assert error["message"].startswith("sleep_seconds: ")


def test_templates_keep_native_types(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"message": ["{{ task.attempt }}", "{{ task.id }}!"]}})
    bench.work(task_id)
    assert bench.task(task_id)["result"]["message"] == [1, f"{task_id}!"]


def test_credentials_in_a_config_reach_the_handler_and_read_as_stars(bench: Bench, probe: Probe) -> None:
    seen: list[Any] = []
    probe.does = keeping(lambda config: seen.append((config.value, config.pin)))
    (task_id,) = bench.submit({"type": "probe", "config": {"value": {"password": TOKEN, "user": "ada"}, "pin": "1234"}})
    assert bench.task(task_id)["config"] == {"value": {"password": "***", "user": "ada"}, "pin": "***"}
    bench.work(task_id)
    ((value, pin),) = seen
    assert value == {"password": TOKEN, "user": "ada"}
    assert pin.get_secret_value() == "1234"


def changed(bench: Bench, task_id: Any, config: dict[str, Any]) -> Any:
    return edit.update(bench.engine, bench.caller, task_id, TaskChanges(config=config))["config"]


def test_stars_keep_a_credential_when_the_config_is_changed(bench: Bench, probe: Probe) -> None:
    seen: list[Any] = []
    probe.does = keeping(lambda config: seen.append(config.value))
    (task_id,) = bench.submit({"type": "probe", "config": {"value": {"password": TOKEN, "n": 1}}})
    assert changed(bench, task_id, {"value": {"password": "***", "n": 2}}) == {"value": {"password": "***", "n": 2}}
    assert "s3cr3t-value" not in whole_record(bench)
    bench.work(task_id)
    assert seen == [{"password": TOKEN, "n": 2}]


def test_stars_with_nothing_behind_them_are_refused(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"message": {}}})
    with pytest.raises(Invalid, match="keeps a credential"):
        changed(bench, task_id, {"message": {"password": "***"}})


def test_ciphertext_cannot_be_sent_in(bench: Bench) -> None:
    (task_id,) = bench.submit({"config": {"message": {"password": TOKEN}}})
    (row,) = bench.sql("SELECT config FROM tasks")
    with pytest.raises(Invalid):
        changed(bench, task_id, row.config)
    with pytest.raises(Invalid):
        bench.submit({"config": row.config})


def test_with_another_key_nothing_runs_and_the_reason_is_plain(bench: Bench, probe: Probe) -> None:
    put(bench)
    (sealed,) = bench.submit({"type": "probe", "config": {"pin": "1234"}})
    (templated,) = bench.submit({"type": "probe", "config": {"value": "{{ secrets.TOKEN }}"}})
    bench.engine.cipher = Cipher(new_key())
    for task_id in (sealed, templated):
        bench.work(task_id)
        assert last_error(bench, task_id)["code"] == "wrong_encryption_key"
    (kept,) = bench.submit({"type": "probe", "config": {"pin": "1234"}})
    bench.engine.cipher = Cipher(new_key())
    with pytest.raises(Conflict, match="ENCRYPTION_KEY"):
        changed(bench, kept, {"pin": "***"})


def test_pages_of_secrets_begin_anew_without_a_cursor(bench: Bench) -> None:
    assert secrets.listing(bench.engine, bench.caller, PAGE).items == []
