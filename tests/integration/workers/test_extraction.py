"""Extraction from real pages in a real Chromium: by selectors, tables, further pages, main text, structured data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from taskengine.domain.errors import PermanentError
from tests.integration.workers.extraction import Taking, serve, taking
from tests.integration.workers.peers import running_peer
from workers.browser import extract_reading


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taking]:
    with taking(tmp_path_factory.mktemp("artifacts")) as made:
        yield made


def test_fields_are_what_a_person_sees(take: Taking) -> None:
    data = take.data(
        "cards",
        fields={
            "title": "title",
            "heading": "h1",
            "price": {"selector": ".card .now", "type": "number"},
            "names": {"selector": ".card .name", "all": True},
            "image": ".card img",
            "link": {"selector": ".more", "attribute": "href"},
            "nothing": ".nowhere",
            "card": {"selector": "article", "fields": {"name": "h3", "was": {"selector": "s", "type": "number"}}},
            "by_path": "//footer//li[2]",
            "html": {"selector": ".sale .price", "html": True},
        },
    )
    assert data == {
        "title": "Lamps | Shop",
        "heading": "Lamps",
        "price": 129.0,
        "names": ["Arc lamp", "Desk lamp", "Floor lamp"],
        "image": take.site.url("/img/arc.jpg"),
        "link": take.site.url("/p/arc"),
        "nothing": None,
        "card": {"name": "Arc lamp", "was": 149.0},
        "by_path": "Privacy",
        "html": '<s class="was">€149.00</s> <span class="now">€129.00</span>',
    }


def test_records_are_the_visible_ones_with_absolute_links(take: Taking) -> None:
    result = take(
        "cards",
        records={
            "selector": "article.card",
            "fields": {
                "name": "h3",
                "url": {"selector": "a", "type": "url"},
                "was": {"selector": ".was", "type": "number"},
            },
        },
    )
    assert result.records == 3
    assert result.data == [
        {"name": "Arc lamp", "url": take.site.url("/p/arc"), "was": 149.0},
        {"name": "Desk lamp", "url": take.site.url("/p/desk"), "was": None},
        {"name": "Floor lamp", "url": take.site.url("/p/floor"), "was": None},
    ]


def test_a_required_value_that_is_not_there_fails_by_its_name(take: Taking) -> None:
    error = take.error("cards", fields={"rating": {"selector": ".rating", "required": True}})
    assert isinstance(error, PermanentError)
    assert (error.info.code, error.info.details["field"]) == ("value_missing", "fields.rating")
    error = take.error("cards", fields={"price": {"selector": ".name", "required": True, "type": "number"}})
    assert error.info.details["found"] == "Arc lamp"


@pytest.mark.parametrize("selector", ["p[", "//p[", "p:nope"])
def test_what_is_no_selector_is_named(selector: str, take: Taking) -> None:
    error = take.error("cards", fields={"x": selector})
    assert (error.info.code, error.info.details["field"]) == ("bad_selector", "fields.x")


def test_a_paginated_table_is_read_to_its_end(take: Taking) -> None:
    result = take(
        "orders_1",
        table={"caption": "orders", "columns": {"order": "Order No.", "total": {"heading": "total", "type": "number"}}},
        pagination={"maxPages": 10},
    )
    assert result.pages == 3
    assert result.complete
    assert result.data == [
        {"order": order, "total": total}
        for order, total in [
            ("1001", 1299.0), ("1002", 20.5), ("1003", 7.0), ("1004", 99.99), ("1005", 3.1), ("1006", 2.56)
        ]
    ]  # fmt: skip


def test_pages_end_at_their_limit_and_say_so(take: Taking) -> None:
    result = take("orders_1", table={}, pagination={"text": "next", "maxPages": 2})
    assert (result.pages, result.records, result.complete) == (2, 5, False)
    first = result.data[0] if isinstance(result.data, list) else None
    assert first == {"order_no": "1001", "customer": "Ada Lovelace", "placed": "2026-11-01", "total": "$1,299.00"}
    limited = take("orders_1", table={}, pagination={}, maxRecords=4)
    assert (limited.records, limited.complete) == (4, False)


@pytest.mark.parametrize(
    ("page", "selector", "pagination", "count"),
    [
        ("load_more", "li.item", {"mode": "load_more"}, 8),
        ("load_more", "li.item", {"mode": "load_more", "selector": "#more"}, 8),
        ("endless", "li.post", {"mode": "scroll", "timeout": 500}, 25),
    ],
)
def test_lists_that_grow_are_read_to_their_end(
    page: str, selector: str, pagination: dict[str, Any], count: int, take: Taking
) -> None:
    result = take(page, records={"selector": selector, "fields": {"text": {}}}, pagination=pagination)
    assert isinstance(result.data, list)
    assert len(result.data) == count
    assert len({str(item) for item in result.data}) == count


def test_spans_and_tables_in_cells_are_resolved(take: Taking) -> None:
    assert take.data("nested", table={"headings": ["planned"]}) == [
        {"name": "Ada", "hours_planned": "40", "hours_worked": "42"},
        {"name": "Ada", "hours_planned": "38", "hours_worked": "38"},
        {"name": "Alan", "hours_planned": "20", "hours_worked": ""},
    ]


def test_a_table_that_describes_one_thing_is_one_row(take: Taking) -> None:
    assert take.data("sideways", table={"selector": ".specs"}) == [
        {"weight": "4.2 kg", "height": "182 cm", "colour": "Black"}
    ]


def test_which_table_is_meant_must_be_clear(take: Taking) -> None:
    error = take.error("two_tables", table={"headings": ["price"]})
    assert error.info.code == "no_such_table"
    assert [table["caption"] for table in error.info.details["tables"]] == ["Sales in the north", "Sales in the south"]
    assert take.data("two_tables", table={"caption": "south"})[0] == {"product": "Desk", "price": "30"}


def test_main_text_leaves_out_what_is_around_it(take: Taking) -> None:
    data = take.data("article", mainText=True)
    assert data["title"] == "Bees return to the city"
    assert data["author"] == "Maya Green"
    assert data["date"] == "2026-05-04"
    assert "thyme and clover" in data["text"]
    assert "Trams late again" not in data["text"]


def test_structured_data_and_links_are_taken(take: Taking) -> None:
    data = take.data("article", structured=True, links=True, fields={"by": {"source": "json_ld:author.name"}})
    assert data["by"] == "Maya Green"
    assert data["structured"]["json_ld"][0]["headline"] == "Bees return to the city"
    assert ["og:title", "Bees return to the city"] in data["structured"]["opengraph"][0]["properties"]
    assert {"text": "Sport", "url": take.site.url("/sport")} in data["links"]
    hotels = take.data("microdata", structured=True)["microdata"]
    assert [hotel["properties"]["name"] for hotel in hotels] == ["Grand Inn", "Sea View"]


def test_data_that_does_not_meet_its_schema_names_the_path(take: Taking) -> None:
    error = take.error(
        "cards",
        records={"selector": ".card", "fields": {"name": "h3", "was": {"selector": ".was", "type": "number"}}},
        schema={"type": "array", "items": {"properties": {"was": {"type": "number"}}}},
    )
    assert error.info.code == "schema_mismatch"
    assert error.info.details["errors"][0]["path"] == "/1/was"


def test_a_page_cannot_change_what_is_read_of_it(take: Taking) -> None:
    data = take.data("hostile", fields={"title": "h1", "nul": "#nul", "v": ".v"}, links=True)
    assert data == {"title": "Real title", "nul": "a\ufffdb", "v": "value", "links": []}


def test_a_huge_page_is_read_up_to_a_bound(take: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extract_reading.MOST, "nodes", 500)
    take.site.route("/huge.html", serve(b"<h1>Huge</h1>" + b"<p>x" * 2_000))
    result = take("huge", records={"selector": "p", "fields": {"text": {}}}, maxRecords=5)
    assert (result.records, result.complete) == (5, False)
    result = take("huge", records={"selector": "p", "fields": {"text": {}}})
    assert (200 < result.records < 500, result.complete) == (True, False)
    take.site.route("/deep.html", serve(b"<h1>Deep</h1>" + b"<div>" * 400 + b"<b>down</b>"))
    assert take.data("deep", fields={"title": "h1", "b": "b"}) == {"title": "Deep", "b": None}
    error = take.error("article", mainText=True, maxBytes=200)
    assert error.info.code == "data_too_large"


def test_passwords_are_never_taken(take: Taking) -> None:
    data = take.data("form", fields={"all": "form", "password": {"selector": "#p", "attribute": "value"}, "n": "#n"})
    assert "hunter2" not in str(data)
    assert data["n"] == "Ada Lovelace"
    assert "United Kingdom" in data["all"]


def test_a_frame_is_looked_into(take: Taking) -> None:
    take.site.route("/framed.html", serve(b'<h1>Out</h1><iframe id="f" src="/cards.html"></iframe>'))
    assert take.data("framed", frame="#f", fields={"title": "h1"}) == {"title": "Lamps"}
    with running_peer(host="127.0.0.2") as elsewhere:
        url = elsewhere.route("/", serve(b"<h1>Of another site</h1>"))
        take.site.route("/foreign.html", serve(f'<h1>Out</h1><iframe id="f" src="{url}"></iframe>'.encode()))
        assert take.data("foreign", frame="#f", fields={"title": "h1"}) == {"title": "Of another site"}
    assert take.error("framed", frame="#g", fields={"title": "h1"}).info.code == "no_such_frame"
