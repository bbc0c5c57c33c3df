"""The record: the only place with SQL."""
