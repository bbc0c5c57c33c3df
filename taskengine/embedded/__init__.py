"""One-machine start: embedded Redis and Postgres, and the process supervisor."""
