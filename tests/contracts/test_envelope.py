"""Our messages are the messages that Celery and kombu themselves would write."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import redis

from config import celery as celery_values
from config.settings import Settings
from taskengine.broker.celery_app import make_app
from taskengine.broker.publish import RUN, Message, Publisher, broker_priority
from taskengine.domain.ids import new_id

VARYING = {
    "headers": ("id", "root_id", "origin", "argsrepr"),
    "properties": ("correlation_id", "delivery_tag"),
}


def taken(client: redis.Redis, key: str) -> dict[str, Any]:
    """The one message of a list, with its body decoded and without what differs from message to message."""
    [raw] = client.lrange(key, 0, -1)
    message: dict[str, Any] = orjson.loads(raw)
    client.delete(key)
    for part, names in VARYING.items():
        for name in names:
            assert isinstance(message[part].pop(name), str)
    message["body"] = orjson.loads(base64.b64decode(message["body"]))
    return message


def test_an_envelope_is_what_celery_and_kombu_write(settings: Settings) -> None:
    assert settings.redis_url is not None
    client = redis.Redis.from_url(settings.redis_url)
    attempts = [(new_id(), 1), (new_id(), 2)]
    Publisher(client).publish([Message("integration", 2, attempts)])
    ours = taken(client, "integration\x06\x163")

    app = make_app(celery_values.values(settings))
    made = app.amqp.as_task_v2(
        str(new_id()), RUN, ([[str(task_id), number] for task_id, number in attempts],), {}, ignore_result=True
    )
    with app.producer_pool.acquire() as producer:
        producer.publish(
            made.body,
            exchange="",
            routing_key="integration",
            priority=broker_priority(2),
            serializer="json",
            headers=made.headers,
            delivery_mode=1,
            **made.properties,
        )
    assert taken(client, "integration\x06\x163") == ours
    app.close()
    client.close()
