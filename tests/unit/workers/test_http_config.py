"""The config of api_call: what is taken, and what is refused at which field."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from workers.integration.http_config import ApiCallConfig

URL = "https://api.example.com/v1"


def fields_of(error: ValidationError) -> set[str]:
    return {str(item["loc"][0]) for item in error.errors() if item["loc"]}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("apiEndpoint", "ftp://example.com"),
        ("apiEndpoint", "https://"),
        ("apiEndpoint", "/relative"),
        ("apiEndpoint", "https://example.com:99999/"),
        ("apiEndpoint", "https://exa mple.com/"),
        ("apiEndpoint", "https://example.com/\r\nX: y"),
        ("apiMethod", "FETCH"),
        ("timeout", 0),
        ("timeout", 10**12),
        ("authType", "digest"),
        ("expectedStatus", 99),
        ("expectedStatus", [200, 600]),
        ("maxResponseBytes", -1),
        ("extract", {"id": "id"}),
        ("customHeaders", {"Bad Name": "x"}),
        ("customHeaders", {"X": "a\r\nInjected: b"}),
        ("customHeaders", {"Transfer-Encoding": "chunked"}),
        ("customHeaders", {"Host": "other"}),
        ("customHeaders", {"Proxy-Authorization": "x"}),
        ("apiKeyName", "no good"),
        ("tokenUrl", "not a url"),
        ("unknown", 1),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        ApiCallConfig.model_validate({"apiEndpoint": URL, field: value})
    assert fields_of(caught.value) == {field}


@pytest.mark.parametrize(
    ("auth_type", "missing"),
    [
        ("bearer", ["bearerToken"]),
        ("api_key", ["apiKey"]),
        ("basic", ["username", "password"]),
        ("oauth2", ["tokenUrl", "clientId", "clientSecret"]),
    ],
)
def test_a_missing_credential_is_named(auth_type: str, missing: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        ApiCallConfig.model_validate({"apiEndpoint": URL, "authType": auth_type})
    assert all(name in str(caught.value) for name in missing)


def test_the_method_may_be_in_lower_case() -> None:
    assert ApiCallConfig.model_validate({"apiEndpoint": URL, "apiMethod": "post"}).api_method == "POST"


def test_the_key_header_may_go_by_either_name() -> None:
    for name in ("apiKeyName", "api_key_name", "apiKeyHeader", "api_key_header"):
        assert ApiCallConfig.model_validate({"apiEndpoint": URL, name: "X-Other"}).api_key_name == "X-Other"


def test_an_error_never_shows_the_credential() -> None:
    with pytest.raises(ValidationError) as caught:
        ApiCallConfig.model_validate({"apiEndpoint": "bad", "bearerToken": "top-secret-token", "timeout": "x"})
    assert "top-secret-token" not in str(caught.value)
    assert "top-secret-token" not in repr(ApiCallConfig(api_endpoint=URL, bearer_token="top-secret-token"))


@pytest.mark.parametrize(
    "field", ["apiEndpoint", "apiMethod", "timeout", "maxRedirects", "authType", "expectedStatus", "tokenUrl"]
)
def test_a_template_string_passes_or_errs_at_its_own_field_only(field: str) -> None:
    try:
        ApiCallConfig.model_validate({"apiEndpoint": URL, field: "{{ context.value }}"})
    except ValidationError as error:
        assert fields_of(error) == {field}


def test_expected_status_is_any_2xx_one_or_a_list() -> None:
    assert [s for s in (199, 200, 204, 299, 300, 404) if ApiCallConfig(api_endpoint=URL).expects(s)] == [200, 204, 299]
    assert ApiCallConfig(api_endpoint=URL, expected_status=404).expects(404)
    listed = ApiCallConfig(api_endpoint=URL, expected_status=[200, 404])
    assert listed.expects(404)
    assert not listed.expects(201)
