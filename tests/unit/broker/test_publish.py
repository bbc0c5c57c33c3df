"""Publishing: priorities, and a broker that does not answer."""

from __future__ import annotations

import pytest
import redis

from taskengine.broker.publish import BrokerDown, Message, Publisher, broker_priority
from taskengine.domain.ids import new_id


def test_the_most_urgent_goes_first_in_redis() -> None:
    assert [broker_priority(priority) for priority in (1, 2, 3, 4, 5)] == [4, 3, 2, 1, 0]


def test_after_a_failure_the_broker_is_left_alone_for_a_moment() -> None:
    client = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    publisher = Publisher(client)
    assert publisher.available()
    with pytest.raises(BrokerDown):
        publisher.waiting("integration")
    assert not publisher.available()
    with pytest.raises(BrokerDown, match="a moment ago"):
        publisher.waiting("integration")
    with pytest.raises(BrokerDown, match="a moment ago"):
        publisher.publish([Message("integration", 2, [(new_id(), 1)])])
    client.close()
