"""``keys``, ``organizations``, ``secrets`` and ``types``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from taskengine.cli import local, output
from taskengine.cli.exits import Exit
from taskengine.cli.failures import Failure
from taskengine.cli.options import Options, command, group

if TYPE_CHECKING:
    from taskengine.client.administration import Scope


class KeyScope(StrEnum):
    """What a key may do."""

    read = "read"
    write = "write"
    admin = "admin"


SecretName = Annotated[str, typer.Argument(metavar="NAME", help="The name that configs use.")]


def register(app: typer.Typer) -> None:
    """Hang the groups and commands in."""
    keys = group("API keys (create, list and revoke need the scope admin).")
    app.add_typer(keys, name="keys")
    command(
        keys,
        "create",
        "taskengine keys create ci --scope read --scope write",
        "taskengine keys create visitor --scope read --expires-in-days 7 --json",
    )(create)
    command(keys, "list", "taskengine keys list")(list_)
    command(keys, "revoke", "taskengine keys revoke $KEY_ID")(revoke)
    command(keys, "bootstrap", "taskengine keys bootstrap")(bootstrap)
    command(keys, "new-encryption-key", 'TASKENGINE_ENCRYPTION_KEY="$(taskengine keys new-encryption-key)"')(
        new_encryption_key
    )
    organizations = group("Organizations: tenants that see nothing of each other.")
    app.add_typer(organizations, name="organizations")
    command(organizations, "create", "taskengine organizations create acme")(create_organization)
    secrets = group("Secrets that task configs may name; values go in and never come out.")
    app.add_typer(secrets, name="secrets")
    command(
        secrets,
        "set",
        'printf %s "$CRM_TOKEN" | taskengine secrets set crm_token',
        "taskengine secrets set crm_token < token.txt",
    )(set_secret)
    command(secrets, "list", "taskengine secrets list")(list_secrets)
    command(secrets, "delete", "taskengine secrets delete crm_token")(delete_secret)
    command(app, "types", "taskengine types", "taskengine types echo --json")(types)


def create(
    options: Options,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is; shown in lists and histories.")],
    scope: Annotated[
        list[KeyScope] | None,
        typer.Option(metavar="read|write|admin", help="Several times; default: read and write."),
    ] = None,
    expires_in_days: Annotated[float | None, typer.Option(min=0, metavar="DAYS", help="Default: never.")] = None,
) -> None:
    """Make a key. It is printed this one time, alone on stdout."""
    scopes: list[Scope] = [item.value for item in scope or (KeyScope.read, KeyScope.write)]
    expires = None if expires_in_days is None else datetime.now(UTC) + timedelta(days=expires_in_days)
    key = options.client().api_keys.create(name, scopes, expires_at=expires)
    if options.json:
        output.emit(key)
        return
    output.text(key["key"])
    output.note(f"This is the only time it is shown. Revoke it: taskengine keys revoke {key['id']}")


def list_(options: Options) -> None:
    """List the keys, without the keys themselves."""
    keys = options.client().api_keys.list()
    columns = ("id", "name", "prefix", "scopes", "created_at", "expires_at", "revoked_at")
    output.listing(keys, columns, as_json=options.json, empty="no keys")


def revoke(options: Options, key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="See `keys list`.")]) -> None:
    """End a key; requests with it are refused within seconds."""
    options.client().api_keys.revoke(key_id)
    if options.json:
        output.emit({"revoked": key_id})
    else:
        output.note(f"key {key_id} is revoked")


def bootstrap(options: Options) -> None:
    """Make the default organization and its first key, directly in the database (`up` does it by itself)."""
    with local.engine(options.settings) as engine:
        from taskengine.lifecycle import keys  # noqa: PLC0415 - this command only

        key = keys.bootstrap(engine)
    if key is None:
        raise Failure(
            Exit.refused,
            "the default organization has its key already",
            "Make another with it: taskengine keys create NAME",
            {"code": "conflict"},
        )
    if options.json:
        output.emit({"key": key})
    else:
        output.text(key)
        output.note("This is the only time it is shown.")


def create_organization(
    options: Options,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, which no other organization has.")],
) -> None:
    """Make another organization and its admin key, directly in the database."""
    with local.engine(options.settings) as engine:
        from taskengine.lifecycle import keys  # noqa: PLC0415 - this command only

        made = keys.add_organization(engine, name)
    if options.json:
        output.emit({"organization": name, "key": made["key"], "key_id": str(made["id"])})
    else:
        output.text(made["key"])
        output.note(f"The admin key of {name}; this is the only time it is shown.")


def new_encryption_key(options: Options) -> None:
    """Print a fresh value for TASKENGINE_ENCRYPTION_KEY. Who loses it loses all stored secrets."""
    from cryptography.fernet import Fernet  # noqa: PLC0415 - this command only

    key = Fernet.generate_key().decode()
    if options.json:
        output.emit({"encryption_key": key})
    else:
        output.text(key)


def set_secret(options: Options, name: SecretName) -> None:
    """Store a secret, or replace its value, which is read from stdin or asked for (never an argument)."""
    if sys.stdin.isatty():
        value = str(typer.prompt("Value", hide_input=True, confirmation_prompt=True, err=True))
    else:
        # What `echo` and editors put at the end of a line belongs to no token.
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not value:
        raise typer.BadParameter("the value is empty")
    secret = options.client().secrets.set(name, value)
    if options.json:
        output.emit(secret)
    else:
        output.note(f"secret {name} is stored")


def list_secrets(options: Options) -> None:
    """List names and times."""
    secrets = options.client().secrets.list()
    output.listing(secrets, ("name", "created_at", "updated_at"), as_json=options.json, empty="no secrets")


def delete_secret(options: Options, name: SecretName) -> None:
    """Forget a secret."""
    options.client().secrets.delete(name)
    if options.json:
        output.emit({"deleted": name})
    else:
        output.note(f"secret {name} is deleted")


def types(
    options: Options,
    type: Annotated[str | None, typer.Argument(metavar="TYPE", help="Show this one with its schemas.")] = None,
) -> None:
    """List the task types, or show one with the JSON Schemas of its config and result."""
    found = options.client().task_types()
    if type is None:
        output.listing(found, ("type", "queue", "description"), as_json=options.json, empty="no task types")
        return
    one = next((item for item in found if item["type"] == type), None)
    if one is None:
        known = ", ".join(item["type"] for item in found)
        raise Failure(Exit.not_found, f"there is no task type {type!r}", f"There are: {known}", {"code": "not_found"})
    if options.json:
        output.emit(one)
    else:
        output.fields(one, ("type", "queue", "description", "config_schema", "output_schema"))
