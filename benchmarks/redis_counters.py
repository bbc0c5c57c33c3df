"""What Redis did, by its own count."""

from __future__ import annotations

import redis


def redis_counters(client: redis.Redis) -> dict[str, float]:
    """Totals since the server's start. A read event is one burst of a client: its round trip."""
    stats = client.info("stats")
    return {
        "Redis commands": float(stats["total_commands_processed"]),
        "Redis round trips": float(stats["total_reads_processed"]),
    }
