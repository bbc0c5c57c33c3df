"""The Huey contender's consumer: ``python -m benchmarks.huey_worker REDIS_URL notify|silent``."""

from __future__ import annotations

import sys

from benchmarks.huey_app import build

if __name__ == "__main__":
    huey, _ = build(sys.argv[1], notify=sys.argv[2] == "notify")
    huey.create_consumer(workers=2, worker_type="process", periodic=False).run()
