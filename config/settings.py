"""Every setting of taskengine, read from the environment in this one place.

Each variable is the field's name in capitals with the prefix ``TASKENGINE_``. Values are validated when the
settings are read; a wrong one is refused with the variable's name.
"""

from __future__ import annotations

import ipaddress
import os
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

QUEUES = ("browser", "integration", "reporting", "automation", "control")
PREFIX = "TASKENGINE_"


class SettingsError(Exception):
    """The environment holds a wrong value; the text names each variable and what it takes."""


def _workers(text: str) -> str:
    parse_workers(text)
    return text


def _egress(text: str) -> str:
    for entry in filter(None, (part.strip() for part in text.split(","))):
        check_egress_entry(entry)
    return text


def _resources(text: str) -> str:
    parse_resources(text)
    return text


def _delays(text: str) -> str:
    try:
        delays = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError("should be seconds, comma separated") from None
    if len(delays) > 50 or not all(0 <= delay <= 7 * 86400 for delay in delays):
        raise ValueError("should be at most 50 numbers from 0 to 604800")
    return text


def _check_smtp(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("should read smtps://user:password@host:465 or smtp://user:password@host:587")
    tls = parse_qs(parts.query).get("tls", ["starttls"])[0]
    if tls not in {"starttls", "off"} or (parts.query and parts.scheme == "smtps"):
        raise ValueError("tls is starttls or off, and of smtp:// only")
    _ = parts.port  # raises ValueError when it is none


def _queues(text: str) -> str:
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name not in QUEUES:
            raise ValueError(f"unknown queue {name!r}; the queues are {', '.join(QUEUES)}")
    return text


RESOURCES = ("cpu_cores", "memory_gb", "disk_gb", "gpu_memory_gb")


def parse_resources(text: str) -> dict[str, float]:
    """``cpu_cores=8,memory_gb=32`` as amount by name."""
    amounts: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, amount = part.partition("=")
        if name not in RESOURCES:
            raise ValueError(f"unknown resource {name!r}; there are {', '.join(RESOURCES)}")
        if not amount.replace(".", "", 1).isdecimal():
            raise ValueError(f"{part!r} should read {name}=N with a number N")
        amounts[name] = float(amount)
    return amounts


def parse_workers(text: str) -> dict[str, int]:
    """``integration=2,browser=1`` as pool size by queue; a queue not named gets 1, 0 leaves it out."""
    sizes = dict.fromkeys(QUEUES, 1)
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, count = part.partition("=")
        if name not in sizes:
            raise ValueError(f"unknown queue {name!r}; the queues are {', '.join(QUEUES)}")
        if not count.isdecimal() or int(count) > 64:
            raise ValueError(f"{part!r} should read {name}=N with N from 0 to 64")
        sizes[name] = int(count)
    return sizes


def check_egress_entry(entry: str) -> None:
    """Accept an address, a CIDR, a host name, or any of them as ``host:port``; raise ValueError otherwise."""
    if "/" in entry:
        ipaddress.ip_network(entry, strict=False)
        return
    host, _, port = entry.rpartition(":")
    if host and port.isdecimal() and (":" not in host or host.startswith("[")):
        if not 0 < int(port) < 65536:
            raise ValueError(f"{entry!r}: the port is out of range")
        return
    if not entry.strip() or any(c.isspace() for c in entry):
        raise ValueError(f"{entry!r} is no address, CIDR or host:port")


class Settings(BaseSettings):
    """The settings of one installation. Durations carry their unit in the name."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    home: Path = Field(Path(".taskengine"), description="Data directory: embedded servers, artifacts, keys.")
    host: str = Field("127.0.0.1", description="Address that the API and Flower listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port of the API.")
    url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Where the command line finds the API; unset: this machine at PORT.",
    )
    api_key: SecretStr | None = Field(
        None, description="The command line's API key; unset: the one that `taskengine up` left in HOME."
    )
    flower_port: int = Field(5555, ge=1, le=65535, description="Port of Flower.")
    flower_auth: SecretStr | None = Field(
        None, description="user:password for Flower's pages; required when HOST is not a loopback address."
    )
    workers: Annotated[str, NoDecode, AfterValidator(_workers)] = Field(
        "integration=2,browser=1",
        description="Pool size of each queue's worker, as queue=N,...; a queue not named gets 1.",
    )
    worker_resources: Annotated[str, NoDecode, AfterValidator(_resources)] = Field(
        "",
        description="What a worker's machine has, as cpu_cores=8,memory_gb=32,disk_gb=100,gpu_memory_gb=16; what is "
        "not named is looked up (graphics memory: none). Tasks with resource_requirements go to workers that have it.",
    )
    redis_url: str | None = Field(None, pattern=r"^rediss?://", description="Redis 7 or later; unset: an embedded one.")
    database_url: str | None = Field(
        None,
        pattern=r"^postgres(ql)?(\+psycopg)?://",
        description="PostgreSQL 15 or later; unset: an embedded one.",
    )
    bootstrap_api_key: SecretStr | None = Field(
        None, min_length=16, description="API key of the default organization, used at first start only."
    )
    encryption_key: SecretStr | None = Field(
        None, description="Key (Fernet) that secrets are encrypted with; unset: made in HOME at first start."
    )
    egress_allow: Annotated[str, NoDecode, AfterValidator(_egress)] = Field(
        "",
        description="Addresses, CIDRs and host:port, comma separated, that outgoing calls may reach "
        "although they are private.",
    )
    chromium: Path | None = Field(
        None, description="The Chromium that browser tasks use; unset: the first one that is found on the PATH."
    )
    browser_recycle_tasks: int = Field(
        100, ge=1, description="A worker's Chromium is started anew after so many tasks."
    )
    browser_recycle_mb: int = Field(
        1500,
        ge=200,
        description="A worker's Chromium is started anew when it takes more memory than this after a task; a task that "
        "takes twice as much is stopped.",
    )
    browser_evaluate: bool = Field(
        False, description="Whether steps of browser tasks may run scripts of their own in pages (`evaluate`)."
    )
    api_threads: int = Field(16, ge=1, le=512, description="Threads of an API process.")
    max_body_bytes: int = Field(32 * 2**20, ge=1024, description="Largest request body that the API reads.")
    max_result_bytes: int = Field(1 * 2**20, ge=1024, description="Largest result a task may store, as JSON.")
    max_collection_bytes: int = Field(
        16 * 2**20,
        ge=1024,
        description="Largest collected result of an expansion or a step, as JSON; beyond it, say where the parts are.",
    )
    max_children: int = Field(1_000_000, ge=1, description="Most children an expansion may have.")
    lease_seconds: float = Field(30, ge=1, description="An attempt whose worker is silent this long is lost.")
    lost_limit: int = Field(3, ge=1, description="Lost attempts after which a task fails.")
    cancel_grace_seconds: float = Field(
        2, ge=0, description="Time a handler gets to stop by itself before its process group is killed."
    )
    cancel_poll_seconds: float = Field(
        1, gt=0, description="How often a running task's worker looks for a cancel request."
    )
    tick_seconds: float = Field(1, ge=0.1, description="Period of beat's tick: due tasks, relay, reconciler.")
    stretch_seconds: float = Field(
        1.0,
        ge=0,
        le=60,
        description="So long a worker goes on with the next links of a chain while nothing else waits; 0: each "
        "link is a message of its own.",
    )
    pack_size: int = Field(200, ge=1, le=1000, description="Most small tasks that one message carries.")
    inflight_messages: int = Field(
        4, ge=1, description="Messages that wait in a queue's broker list before the dispatcher holds back."
    )
    relay_seconds: float = Field(
        5, ge=0.1, description="A published task that nobody claimed is rung again after this time."
    )
    retention_days: int = Field(0, ge=0, description="Finished tasks older than this are pruned; 0 keeps all of them.")
    task_events: Annotated[str, NoDecode, AfterValidator(_queues)] = Field(
        "browser,reporting,automation",
        description="Queues whose workers send Celery task events (Flower's task list); they cost a quarter of the "
        "throughput where tasks are small.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server for notifications: smtps://user:password@host:465, or smtp://host:587 with STARTTLS "
        "(?tls=off for one on this machine); unset: no e-mail.",
    )
    smtp_from: str | None = Field(
        None,
        validate_default=True,
        description="Sender of e-mails, as address or Name <address>; needed with SMTP_URL.",
    )
    delivery_delays: Annotated[str, NoDecode, AfterValidator(_delays)] = Field(
        "5,60,300,1800,7200,14400,28800,32400",
        description="Seconds between the attempts at an outgoing message; after the last it is given up.",
    )
    delivery_timeout_seconds: float = Field(15, gt=0, le=300, description="Time limit of one attempt at a message.")
    celery_app: str | None = Field(
        None, description="module:attribute of your own Celery app, whose tasks type celery_task may run."
    )
    llm_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Base URL of an OpenAI-compatible server, such as https://api.openai.com/v1; unset: none is asked.",
    )
    llm_api_key: SecretStr | None = Field(None, description="The key of the server at LLM_URL, where it wants one.")
    llm_model: str | None = Field(None, description="Name of the model to ask at LLM_URL.")
    llm_max_tokens_per_task: int = Field(
        200_000, ge=100, description="Most language model tokens that a task may use, over all its attempts."
    )
    ghl_base_url: str = Field(
        "https://services.leadconnectorhq.com",
        pattern=r"^https?://",
        description="Where type ghl_action finds the LeadConnector API.",
    )
    ghl_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("taskengine_ghl_api_key", "ghl_api_key"),
        description="Token of ghl_action tasks of every organization that has no secret GHL_API_KEY; plain "
        "`GHL_API_KEY` is read too.",
    )
    ghl_location_id: str | None = Field(
        None,
        validation_alias=AliasChoices("taskengine_ghl_location_id", "ghl_location_id"),
        description="Sub-account of ghl_action tasks of every organization that has no secret GHL_LOCATION_ID; plain "
        "`GHL_LOCATION_ID` is read too.",
    )
    script_commands: str = Field(
        "",
        description="Programs, comma separated, that tasks of type script, testing and deployment may run in the "
        "sandbox: names or paths such as make,/usr/bin/jq; python3 and node may always be run.",
    )
    code_folders: str = Field(
        "",
        description="Folders, comma separated, whose contents tasks of type code_analysis and testing may read.",
    )
    script_max_seconds: float = Field(900, gt=0, description="Longest time that a sandboxed program may ask for.")
    script_max_memory_mb: int = Field(2048, ge=16, description="Most memory that a sandboxed program may ask for.")
    script_max_processes: int = Field(256, ge=1, description="Most processes that a sandboxed program may ask for.")
    script_max_disk_mb: int = Field(
        1024, ge=1, description="Most that a sandboxed program may ask to write; its folders lie in memory."
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least level logged.")
    log_json: bool = Field(False, description="Log as JSON lines.")

    def api_url(self) -> str:
        """Where the command line finds the API."""
        return self.url or f"http://127.0.0.1:{self.port}"

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_smtp(value.get_secret_value())
        return value

    @field_validator("smtp_from")
    @classmethod
    def _mail_sender(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("smtp_url") is not None:
            raise ValueError("is needed with SMTP_URL: the address that e-mails come from")
        if value is not None and "@" not in parseaddr(value)[1]:
            raise ValueError("should be an address, or read Name <address>")
        return value

    def delivery_pauses(self) -> tuple[float, ...]:
        """The seconds of DELIVERY_DELAYS."""
        return tuple(float(part) for part in self.delivery_delays.split(","))

    def worker_sizes(self) -> dict[str, int]:
        """Pool size by queue."""
        return parse_workers(self.workers)

    def stated_resources(self) -> dict[str, float]:
        """The amounts of WORKER_RESOURCES."""
        return parse_resources(self.worker_resources)

    def event_queues(self) -> frozenset[str]:
        """The queues of TASK_EVENTS."""
        return frozenset(filter(None, (part.strip() for part in self.task_events.split(","))))

    def script_command_list(self) -> tuple[str, ...]:
        """The entries of SCRIPT_COMMANDS."""
        return tuple(filter(None, (part.strip() for part in self.script_commands.split(","))))

    def code_folder_list(self) -> tuple[str, ...]:
        """The entries of CODE_FOLDERS."""
        return tuple(filter(None, (part.strip() for part in self.code_folders.split(","))))

    def egress_entries(self) -> tuple[str, ...]:
        """The entries of EGRESS_ALLOW."""
        return tuple(filter(None, (part.strip() for part in self.egress_allow.split(","))))


def load() -> Settings:
    """Read the environment; SettingsError names every variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"{PREFIX}{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}" for item in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from None


def inherited() -> dict[str, str]:
    """A copy of this process's whole environment, for starting other processes with."""
    return dict(os.environ)
