"""monitoring: checks that URLs answer, ports are open and certificates last, and says so, or fails, by thresholds."""

from __future__ import annotations

from dataclasses import asdict
from types import MappingProxyType

from taskengine.domain.errors import PermanentError, TransientError
from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context, Handler
from workers.automation.monitoring_checks import Finding, check, shown
from workers.automation.monitoring_config import (
    CheckResult,
    Health,
    HttpTarget,
    MonitoringConfig,
    MonitoringOutput,
    TcpTarget,
    TlsTarget,
)

_WORSE: tuple[Health, ...] = ("ok", "warning", "critical")


class Monitoring(Handler[MonitoringConfig]):
    """Checks URLs, ports and certificates."""

    type_name = "monitoring"
    queue = "automation"
    description = (
        "Checks URLs (status, text, latency), TCP ports and the expiry of TLS certificates against thresholds; fails "
        "with `check_failed` as `failOn` says."
    )
    Config = MonitoringConfig
    Output = MonitoringOutput
    timeout_seconds = 600
    example = MappingProxyType(
        {
            "targets": [
                {
                    "type": "http",
                    "url": "https://example.com/health",
                    "contains": "ok",
                    "warnMs": 500,
                    "criticalMs": 3000,
                },
                {"type": "tcp", "host": "example.com", "port": 443, "timeout": 2000},
                {"type": "tls", "host": "example.com", "warnDays": 30, "criticalDays": 7},
            ],
            "failOn": "critical",
            "repeats": 1,
        }
    )

    def run(self, ctx: Context, config: MonitoringConfig) -> Outcome:
        """Check all targets, one after the other, so that none slows another down.

        Raises PermanentError ``check_failed``, TransientError ``interrupted``.
        """
        checks = []
        for number, target in enumerate(config.targets):
            checks.append(_checked(ctx, config, target))
            ctx.progress((number + 1) / len(config.targets), f"{checks[-1].name}: {checks[-1].status}")
        worst = max((item.status for item in checks), key=_WORSE.index)
        counts = {status: sum(item.status == status for item in checks) for status in _WORSE}
        output = MonitoringOutput(status=worst, checks=checks, counts=counts)
        if config.fail_on != "never" and _WORSE.index(worst) >= _WORSE.index(config.fail_on):
            raise _failure(config.fail_on, output)
        return Succeeded(output)


def _checked(ctx: Context, config: MonitoringConfig, target: HttpTarget | TcpTarget | TlsTarget) -> CheckResult:
    """One target, as often as it takes to be sure: one recorded step."""
    name = target.name or shown(target)
    with ctx.step(name, type=target.type) as step:
        attempt = 0
        while True:
            attempt += 1
            if ctx.cancelled():
                raise TransientError("interrupted", f"told to stop before {name} was checked")
            finding = check(ctx, target)
            if finding.status == "ok" or attempt > config.repeats:
                break
            ctx.log(f"{name}: {finding.status}, {finding.message}; checking again", level="warning")
            if ctx.wait(config.repeat_pause / 1000):
                raise TransientError("interrupted", f"told to stop while {name} was to be checked again")
        result = _result(name, target, finding, attempt)
        step.result(result.model_dump(mode="json", exclude_none=True))
    return result


def _result(name: str, target: HttpTarget | TcpTarget | TlsTarget, finding: Finding, attempts: int) -> CheckResult:
    found = asdict(finding)
    return CheckResult(name=name, type=target.type, target=shown(target), attempts=attempts, **found)


def _failure(from_here: Health, output: MonitoringOutput) -> PermanentError:
    bad = [item for item in output.checks if _WORSE.index(item.status) >= _WORSE.index(from_here)]
    first = "; ".join(f"{item.name}: {item.message}" for item in bad[:3])
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return PermanentError(
        "check_failed",
        f"{len(bad)} of {len(output.checks)} checks failed: {first}{more}",
        output.model_dump(mode="json"),
    )
