"""No credential survives the redactor, in any of its spellings."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from workers.integration.http_config import ApiCallConfig
from workers.integration.http_redact import Redactor, redactor_for

SECRET = "s3cr+t/valü"


def config(**fields: object) -> ApiCallConfig:
    return ApiCallConfig.model_validate({"apiEndpoint": "https://api.test/", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"bearerToken": SECRET},
        {"apiKey": SECRET},
        {"password": SECRET, "username": "u"},
        {"clientSecret": SECRET},
        {"customHeaders": {"X-Auth-Token": SECRET}},
        {"customHeaders": {"Authorization": f"Token {SECRET}"}},
        {"apiEndpoint": f"https://u:{quote(SECRET, safe='')}@api.test/"},
    ],
)
def test_every_place_of_a_credential_is_known(fields: dict[str, object]) -> None:
    redact = redactor_for(config(**fields))
    for text in (SECRET, f"<{SECRET}>", quote(SECRET, safe="")):
        assert SECRET not in redact.text(text)
        assert quote(SECRET, safe="") not in redact.text(text)
    assert redact.json({"a": [SECRET, {SECRET: 1}]}) == {"a": ["***", {"***": 1}]}


def test_the_basic_pair_is_known_in_base64() -> None:
    pair = base64.b64encode(f"u:{SECRET}".encode()).decode()
    redact = redactor_for(config(username="u", password=SECRET))
    assert redact.text(f"Basic {pair}") == "Basic ***"


def test_a_url_loses_user_fragment_and_telling_query_values() -> None:
    redact = Redactor([], ["appid"])
    url = "https://u:p@host.test:81/a?page=2&api_key=k1&AppId=k2&X-Amz-Signature=k3&token=k4&flag#frag"
    assert redact.url(url) == ("https://host.test:81/a?page=2&api_key=***&AppId=***&X-Amz-Signature=***&token=***&flag")


def test_ordinary_query_names_stay() -> None:
    url = "https://host.test/?monkey=1&sort=asc&page=3"
    assert Redactor([]).url(url) == url


def test_very_short_values_are_left_alone() -> None:
    assert Redactor(["a", ""]).text("banana") == "banana"


def test_a_longer_credential_is_masked_before_one_that_it_contains() -> None:
    assert Redactor(["abcd", "abcdefgh"]).text("abcdefgh abcd") == "*** ***"


def test_an_unreadable_url_is_masked_whole() -> None:
    assert Redactor([]).url("http://[bad") == "***"
