"""The Celery application of all consumers: ``celery -A workers.app:app worker -Q <queue>``."""

from __future__ import annotations

import warnings

from celery.exceptions import CPendingDeprecationWarning

from config import celery as celery_values
from config import settings as configuration
from taskengine.broker.celery_app import make_app
from workers import signals

# With every lost connection Celery warns that tasks will run twice; that is about late acknowledgement, ours is early.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning, module="celery.worker.consumer")

settings = configuration.load()
app = make_app(celery_values.values(settings))
signals.connect(settings)
