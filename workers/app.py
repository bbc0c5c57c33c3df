"""The Celery application of all consumers: ``celery -A workers.app:app worker -Q <queue>``."""

from __future__ import annotations

from config import celery as celery_values
from config import settings as configuration
from taskengine.broker.celery_app import make_app
from workers import signals

settings = configuration.load()
app = make_app(celery_values.values(settings))
signals.connect(settings)
