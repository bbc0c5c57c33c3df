"""data_extraction on the test site, in a real Chromium: one page, many pages, a list behind a login, files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from taskengine.domain.errors import HandlerError, PermanentError
from taskengine.domain.outcome import Succeeded
from tests.integration.workers.context import HandlerContext
from tests.integration.workers.extraction import serve
from tests.integration.workers.peers import Peer
from tests.site import EMAIL, PASSWORD, TOTP_SECRET, Site, running_site
from tests.site.goods import PEOPLE
from workers.browser import pool
from workers.browser.data_extraction import DataExtraction, DataExtractionConfig, DataExtractionOutput, csv_of

Run = Callable[..., DataExtractionOutput]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def browser() -> Iterator[None]:
    """One warm browser for the module."""
    pool.configure(pool.BrowserOptions(egress=("127.0.0.1",)))
    yield
    pool.close()


@pytest.fixture
def run(ctx: HandlerContext) -> Run:
    def run(**config: Any) -> DataExtractionOutput:
        made = DataExtractionConfig.model_validate({"stepTimeout": 10_000, **config})
        outcome = DataExtraction().run(ctx, made)
        assert isinstance(outcome, Succeeded)
        assert isinstance(outcome.result, DataExtractionOutput)
        return outcome.result

    return run


def test_a_paginated_table_becomes_checked_records(run: Run, site: Site, ctx: HandlerContext) -> None:
    output = run(
        url=f"{site.url}/staff",
        table={"caption": "Staff", "columns": {"name": "Name", "salary": {"heading": "Salary", "type": "integer"}}},
        pagination={"maxPages": 20},
        schema={"type": "array", "items": {"required": ["name", "salary"], "properties": {"salary": {"minimum": 1}}}},
        format="csv",
    )
    assert output.data == [{"name": person.name, "salary": person.salary} for person in PEOPLE]
    assert (output.records, output.complete) == (len(PEOPLE), True)
    assert output.pages == -(-len(PEOPLE) // 10)
    assert output.csv is not None
    table = list(csv.DictReader(io.StringIO(ctx.artifacts[output.csv.id].read_text("utf-8-sig"))))
    assert [row["name"] for row in table] == [person.name for person in PEOPLE]
    assert [step.type for step in ctx.steps] == ["navigate", "extract"]
    assert ctx.steps[1].value["result"]["pages"] == output.pages


def test_the_data_may_lie_behind_a_login(run: Run, site: Site) -> None:
    output = run(
        automationSteps=[
            {"type": "navigate", "config": {"url": f"{site.url}/login"}},
            {"type": "type", "config": {"label": "Email", "text": EMAIL}},
            {"type": "type", "config": {"label": "Password", "text": PASSWORD}},
            {"type": "click", "config": {"role": "button", "name": "Sign in"}},
            {"type": "type", "config": {"label": "Authentication code", "totp": {"secret": TOTP_SECRET}}},
            {"type": "click", "config": {"role": "button", "name": "Verify"}},
            {"type": "extract", "config": {"fields": {"who": {"selector": "#who", "required": True}}}},
        ]
    )
    assert isinstance(output.data, dict)
    assert EMAIL in str(output.data["who"])
    assert output.url.endswith("/account")


def test_several_extracts_are_joined_by_their_names(run: Run, site: Site) -> None:
    output = run(
        automationSteps=[
            {"type": "navigate", "config": {"url": f"{site.url}/products"}},
            {"type": "extract", "name": "shop", "config": {"fields": {"title": "h1"}}},
            {"type": "navigate", "config": {"url": f"{site.url}/staff"}},
            {"type": "extract", "name": "team", "config": {"instruction": "all names", "maxRecords": 2}},
        ],
        schema={"type": "object", "required": ["shop", "team"]},
    )
    assert output.data == {"shop": {"title": "Products"}, "team": [{"name": person.name} for person in PEOPLE[:2]]}
    assert output.source.keys() == {"shop", "team"}
    assert not output.complete


def test_words_are_replayed_by_a_later_task(run: Run, site: Site) -> None:
    config = {"url": f"{site.url}/products", "instruction": "Extract all product names and prices from the page"}
    first, again = run(**config), run(**config)
    assert first.records == 12
    assert first.data == again.data
    assert (first.source["how"], again.source["how"]) == ("match", "replay")


def test_the_page_may_be_late(run: Run, peer: Peer) -> None:
    late = b'<script>setTimeout(()=>document.body.insertAdjacentHTML("beforeend","<b id=v>here</b>"),300)</script><p>x'
    url = peer.route("/late", serve(late))
    assert run(url=url, waitFor="#v", fields={"v": "#v"}).data == {"v": "here"}
    assert run(url=url, records={"selector": "#v", "fields": {"v": {}}}).data == [{"v": "here"}]
    assert run(url=url, fields={"v": {"selector": "#v", "required": True}}).data == {"v": "here"}


def test_large_data_is_a_file_too(run: Run, peer: Peer, ctx: HandlerContext) -> None:
    url = peer.route(
        "/long", serve(b"<ul>" + b"".join(b"<li>%04d %s" % (n, b"x" * 500) for n in range(1500)) + b"</ul>")
    )
    records = {"selector": "li", "fields": {"text": {}}}
    output = run(url=url, records=records, maxRecords=500)
    assert output.file is not None
    assert json.loads(ctx.artifacts[output.file.id].read_bytes()) == output.data
    output = run(url=url, records=records, maxRecords=1500)
    assert output.data is None
    assert output.file is not None
    assert len(json.loads(ctx.artifacts[output.file.id].read_bytes())) == 1500


def test_data_that_does_not_fit_fails_with_the_path(run: Run, site: Site) -> None:
    with pytest.raises(PermanentError) as caught:
        run(url=f"{site.url}/products", fields={"title": "h1"}, schema={"properties": {"title": {"minLength": 100}}})
    assert caught.value.info.code == "schema_mismatch"
    assert caught.value.info.details["errors"][0]["path"] == "/title"
    assert caught.value.info.details["step"]["screenshot"]


def test_what_the_page_asks_for_passes_the_egress_rules(run: Run, peer: Peer) -> None:
    url = peer.route("/", serve(b'<h1>Hi</h1><img src="http://10.0.0.1/x.png">'))
    output = run(url=url, fields={"title": "h1"})
    assert [(item.url, item.kind) for item in output.refusals] == [("http://10.0.0.1/x.png", "image")]


def test_a_page_that_is_not_there_is_no_empty_data(run: Run, peer: Peer) -> None:
    with pytest.raises(HandlerError):
        run(url=peer.url("/nowhere"), fields={"title": "h1"})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"url": "https://example.com"}, "says nothing to extract"),
        ({"fields": {"a": "b"}}, "either url or automationSteps"),
        ({"url": "file:///etc/passwd", "links": True}, "http or https"),
        ({"url": "https://example.com", "fields": {"a": "b"}, "instruction": "x"}, "goes without"),
        ({"url": "https://example.com", "fields": {"a": {"selector": ""}}}, "at least 1 character"),
        ({"url": "https://example.com", "fields": {"a": "b"}, "pagination": {}}, "needs a list"),
        ({"url": "https://example.com", "links": True, "maxRecords": 0}, "greater than or equal to 1"),
        (
            {"url": "https://example.com", "records": {"selector": "li", "fields": {"a": {"colour": 1}}}},
            "not permitted",
        ),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DataExtractionConfig.model_validate(config)


def test_cells_of_a_csv_are_never_formulas() -> None:
    data: Any = [{"a": "=1+1", "b": -5, "c": "-5", "d": ["x"]}, {"e": "@cmd"}]
    lines = csv_of(data).decode("utf-8-sig").splitlines()
    assert lines == ["a,b,c,d,e", '\'=1+1,-5,-5,"[""x""]",', ",,,,'@cmd"]
