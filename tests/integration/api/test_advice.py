"""What an error says: in our own words, and what to do next."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api.conftest import Api


def refusal(api: Api, method: str, path: str, body: Any = None) -> str:
    response = api(method, path, json=body)
    assert 400 <= response.status_code < 500
    return str(response.get_json()["detail"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"task_groups": []}, "body.task_groups: should have at least 1 item, not 0"),
        ({"workflow": 5}, "body.workflow: should be a valid string"),
        ({"workflow": "w", "name": ""}, "body.name: should have at least 1 character"),
    ],
)
def test_a_fault_of_a_field_is_told_in_one_way(api: Api, body: Any, said: str) -> None:
    assert refusal(api, "POST", "/v1/runs", body).startswith(said)


@pytest.mark.parametrize(
    ("method", "path", "said"), [("DELETE", "/v1/workflows/w", "GET, PUT"), ("POST", "/v1/workflows", "GET")]
)
def test_a_wrong_method_is_told_the_right_ones(api: Api, method: str, path: str, said: str) -> None:
    assert f"this path takes {said};" in refusal(api, method, path)


def test_a_bare_definition_is_told_where_it_belongs(api: Api) -> None:
    definition = {"name": "w", "steps": [{"id": "a", "type": "wait", "seconds": 1}]}

    assert (
        refusal(api, "POST", "/v1/runs", definition) == 'body: is a definition itself; send it as {"definition": ...}'
    )
