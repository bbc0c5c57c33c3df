"""How long to wait before the next attempt."""

from __future__ import annotations

from taskengine.domain.task import RetryPolicy

LONGEST_DELAY_SECONDS = 30 * 86400.0
"""No task sleeps longer between attempts, whatever the other side asks for."""


def delay_seconds(policy: RetryPolicy, failures: int, chance: float, retry_after_seconds: float | None) -> float:
    """The delay after the ``failures``-th failure (1 for the first).

    ``chance`` in [0, 1) spreads the delay over 50 to 100 % where the policy wants jitter. What the other side asked
    for (``retry_after_seconds``) is waited for at least, and without jitter below it. ``max_delay_seconds`` bounds
    the growth of exponential delays; those that the client chose one by one stand as they are.
    """
    if policy.strategy == "list" and policy.delays:
        delay = policy.delays[min(failures, len(policy.delays)) - 1]
    elif policy.strategy == "exponential":
        # 2**40 seconds is beyond every maximum; it keeps the power small.
        delay = min(policy.delay_seconds * 2.0 ** min(failures - 1, 40), policy.max_delay_seconds)
    else:
        delay = policy.delay_seconds
    if policy.jitter:
        delay *= 0.5 + chance / 2
    # The order of max's arguments matters: a NaN from outside compares false and falls away.
    return min(max(delay, retry_after_seconds or 0.0), LONGEST_DELAY_SECONDS)
