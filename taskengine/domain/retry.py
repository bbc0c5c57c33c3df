"""How long to wait before the next attempt."""

from __future__ import annotations

from taskengine.domain.task import RetryPolicy


def delay_seconds(policy: RetryPolicy, failures: int, chance: float, retry_after_seconds: float | None) -> float:
    """The delay after the ``failures``-th failure (1 for the first).

    ``chance`` in [0, 1) spreads the delay over 50 to 100 % where the policy wants jitter. What the other side asked
    for (``retry_after_seconds``) is waited for at least, and without jitter below it.
    """
    if policy.strategy == "list" and policy.delays:
        delay = policy.delays[min(failures, len(policy.delays)) - 1]
    elif policy.strategy == "exponential":
        # 2**40 seconds is beyond every maximum; it keeps the power small.
        delay = policy.delay_seconds * 2.0 ** min(failures - 1, 40)
    else:
        delay = policy.delay_seconds
    delay = min(delay, policy.max_delay_seconds)
    if policy.jitter:
        delay *= 0.5 + chance / 2
    return max(delay, retry_after_seconds or 0.0)
