"""Plain words on different pages: what is found without a language model, what is refused, and what is replayed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.workers.extraction import Taking, serve, taking
from tests.llm_server import API_KEY, MODEL, LlmServer, running_llm_server
from workers.language import client


@pytest.fixture(scope="module")
def taking_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taking]:
    with taking(tmp_path_factory.mktemp("artifacts")) as made:
        yield made


@pytest.fixture
def take(taking_all: Taking) -> Taking:
    """Nothing is remembered from one test to the next."""
    taking_all.ctx.memory.clear()
    return taking_all


@pytest.fixture
def llm() -> Iterator[LlmServer]:
    with running_llm_server() as server:
        client.configure(server.url, API_KEY, MODEL, 100_000)
        yield server
    client.configure(None, None, None, 1)


NUMBER = {"type": "number"}


def rows(names: str, *values: str) -> list[dict[str, str]]:
    return [dict(zip(names.split(), value.split("|"), strict=True)) for value in values]


LAMPS = rows("name price", "Arc lamp|€129.00", "Desk lamp|€39.90", "Floor lamp|€89.00")
ORDERS = rows(
    "order_no customer placed total",
    "1001|Ada Lovelace|2026-11-01|$1,299.00",
    "1002|Alan Turing|2026-11-02|$20.50",
    "1003|Grace Hopper|2026-11-03|$7.00",
)
CUSTOMERS = [{"customer": item["customer"], "total": item["total"]} for item in ORDERS]
OPEN_ORDERS = rows("customer total", "Anna Berg|20.00", "Bob Stone|35.50", "Cara Lind|12.90")
RESULTS = rows("title", "Fixing a flat tyre", "Brake adjustment guide", "Bike repair near you")

FOUND: list[tuple[str, str, Any]] = [
    # cards
    ("cards", "Extract all product names and prices from the page", LAMPS),
    ("cards", "names and prices of all lamps", LAMPS),
    ("cards", "for each product: name and price", LAMPS),
    ("cards", "prices of the products", [{"price": item["price"]} for item in LAMPS]),
    ("cards", "Get the stock of every lamp", rows("stock", "In stock", "Sold out", "In stock")),
    ("cards_plain", "all book titles and prices", rows("title price", "Dune|$9.99", "Emma|$4.50", "Ulysses|$12.00")),
    ("shop", "lamps with their prices", rows("price", "29.00 €", "31.00 €", "45.00 €")),
    ("shop", "lamp names", rows("name", "Blue Lamp", "Red Lamp", "Green Lamp")),
    ("two_lists", "names and prices of all deals", rows("name price", "Kettle|$20", "Toaster|$25")),
    ("microdata", "the telephone of each hotel", rows("telephone", "+44 20 1234", "+44 20 9876")),
    ("search_results", "titles of all results", RESULTS),
    # tables
    (
        "price_list",
        "Extract all product names and prices from the page",
        rows("name price", "Blue Lamp|€ 12.50", "Red Chair|€ 49.00"),
    ),
    ("orders_1", "the table of orders", ORDERS),
    ("orders_1", "all orders", ORDERS),
    ("orders_1", "Extract customer and total of each order", CUSTOMERS),
    ("orders_table", "customers and totals", OPEN_ORDERS),
    ("two_tables", "the table of sales in the south", rows("product price", "Desk|30", "Shelf|40")),
    ("nested", "name and planned hours of every employee", rows("name planned_hour", "Ada|40", "Ada|38", "Alan|20")),
    # one thing
    ("definitions", "the status and the total of the order", {"status": "Shipped", "total": "$1,299.00"}),
    ("definitions", "What is the order number?", {"order_number": "1001"}),
    ("sideways", "weight and warranty", {"weight": "4.2 kg", "warranty": "2 years"}),
    ("form", "full name and country", {"full_name": "Ada Lovelace", "country": "United Kingdom"}),
    ("product_ld", "brand, price and sku", {"brand": "Lumo", "price": "129.00", "sku": "AL-7"}),
    ("article", "headline and author", {"headline": "Bees return to the city", "author": "Maya Green"}),
    ("article", "all headings", {"headings": ["Bees return to the city", "Most read"]}),
]  # fmt: skip


@pytest.mark.parametrize(("page", "words", "expected"), FOUND, ids=[f"{page}: {words}" for page, words, _ in FOUND])
def test_words_find_what_they_say(page: str, words: str, expected: Any, take: Taking) -> None:
    result = take(page, instruction=words)
    assert result.data == expected
    assert result.source["how"] == "match"


REFUSED = [
    ("two_tables", "product prices"),
    ("two_tables", "the table"),
    ("two_lists", "all names and prices"),
    ("cards", "customer names and prices"),
    ("cards", "the rating of each product"),
    ("cards_plain", "titles and authors of the books"),
    ("empty", "all products"),
    ("empty", "Extract all product names and prices from the page"),
    ("form", "the password"),
    ("article", "everything interesting"),
    ("article", "make coffee"),
    ("definitions", "the tracking code"),
]


@pytest.mark.parametrize(("page", "words"), REFUSED)
def test_what_is_unsure_is_refused_with_what_there_is(page: str, words: str, take: Taking) -> None:
    error = take.error(page, instruction=words)
    assert error.info.code == "instruction_unclear"
    assert {"tables", "lists", "labels", "reason", "url"} <= error.info.details.keys()
    assert "hunter2" not in str(error.info)
    assert not take.ctx.memory


def test_the_title_and_the_main_content_are_told_apart(take: Taking) -> None:
    data = take.data("article", instruction="Extract the page title and main content")
    assert data["title"] == "Bees return to the city | The Daily Hive"
    assert "thyme and clover" in data["main_content"]
    assert "Trams late again" not in data["main_content"]


def test_words_reach_over_further_pages(take: Taking) -> None:
    result = take("orders_1", instruction="all order numbers and totals", pagination={})
    assert (result.pages, result.records) == (3, 6)


@pytest.mark.parametrize(
    ("page", "schema", "expected"),
    [
        (
            "definitions",
            {"properties": {"orderNumber": {"type": "integer"}, "total": {"type": "number"}}, "required": ["total"]},
            {"orderNumber": 1001, "total": 1299.0},
        ),
        (
            "cards",
            {"type": "array", "items": {"properties": {"price": {"type": "number"}, "stock": {"type": "string"}}}},
            [
                {"price": 129.0, "stock": "In stock"},
                {"price": 39.9, "stock": "Sold out"},
                {"price": 89.0, "stock": "In stock"},
            ],
        ),
        (
            "orders_table",
            {"properties": {"title": {}, "orders": {"type": "array", "items": {"properties": {"total": NUMBER}}}}},
            {"title": "Orders", "orders": [{"total": 20.0}, {"total": 35.5}, {"total": 12.9}]},
        ),
        (
            "article",
            {"properties": {"headline": {}, "author": {}, "datePublished": {"format": "date-time"}}},
            {"headline": "Bees return to the city", "author": "Maya Green", "datePublished": "2026-05-04T08:00:00Z"},
        ),
    ],
)  # fmt: skip
def test_a_schema_alone_says_what_to_look_for(page: str, schema: dict[str, Any], expected: Any, take: Taking) -> None:
    assert take.data(page, schema=schema) == expected


def test_a_schema_that_the_page_does_not_fill_is_refused(take: Taking) -> None:
    error = take.error("cards", schema={"properties": {"isbn": {}}, "required": ["isbn"]})
    assert error.info.code == "instruction_unclear"
    assert "isbn" in error.info.message


def test_a_later_run_replays_and_a_changed_page_is_resolved_again(take: Taking) -> None:
    page = '<h1>Lamps</h1><div class="{kind}"><h3>A</h3><b>€1</b></div><div class="{kind}"><h3>B</h3><b>€2</b></div>'
    take.site.route("/changing.html", serve(page.format(kind="card").encode()))
    words = {"instruction": "all lamp names and prices"}
    first = take("changing", **words)
    again = take("changing", **words)
    assert (first.source["how"], again.source["how"]) == ("match", "replay")
    assert first.source["plan"] == again.source["plan"]
    assert first.data == again.data == rows("name price", "A|€1", "B|€2")
    take.site.route("/changing.html", serve(page.format(kind="tile").encode()))
    changed = take("changing", **words)
    assert (changed.source["how"], changed.data) == ("match", first.data)
    assert take("changing", **words).source["how"] == "replay"


def proposal(records: str | None, **selectors: str) -> dict[str, Any]:
    fields = [
        {"name": name, "selector": selector, "attribute": None, "all": False, "type": "text"}
        for name, selector in selectors.items()
    ]
    return {"understood": True, "reason": "", "records_selector": records, "fields": fields}


AUTHORS = rows("title author", "Dune|Frank Herbert", "Emma|Jane Austen", "Ulysses|James Joyce")
WORDS = {"instruction": "titles and authors of the books"}


def test_the_model_says_where_things_are_and_is_not_asked_again(take: Taking, llm: LlmServer) -> None:
    llm.script(proposal("ul > li", title="a", author="div:nth-of-type(3)"))
    first = take("cards_plain", **WORDS)
    assert first.data == AUTHORS
    assert first.source["how"] == "llm"
    assert "Frank Herbert" in llm.requests[0].user
    assert take("cards_plain", **WORDS).source["how"] == "replay"
    client.configure(None, None, None, 1)
    assert take("cards_plain", **WORDS).data == AUTHORS
    assert len(llm.requests) == 1


def test_selectors_of_the_model_that_find_nothing_are_given_back_to_it(take: Taking, llm: LlmServer) -> None:
    llm.script(proposal("ul > li", title="a", author=".author"), proposal("li", title="a", author="div:last-child"))
    assert take.data("cards_plain", **WORDS) == AUTHORS
    assert "did not do" in llm.requests[1].user


def test_where_no_selector_does_the_model_may_read_but_not_invent(take: Taking, llm: LlmServer) -> None:
    unknown = proposal(None, title=".nowhere")
    llm.script(unknown, unknown, {"understood": True, "reason": "", "data": AUTHORS})
    read = take("cards_plain", **WORDS)
    assert (read.data, read.source) == (AUTHORS, {"how": "llm", "plan": None})
    assert not take.ctx.memory or "replay" not in {space for space, _ in take.ctx.memory}
    llm.script(unknown, unknown, {"understood": True, "reason": "", "data": [{"title": "Solaris"}]})
    error = take.error("cards_plain", **WORDS)
    assert (error.info.code, error.info.details["not_on_the_page"]) == ("instruction_unclear", ["Solaris"])


def test_what_the_model_does_not_find_is_refused(take: Taking, llm: LlmServer) -> None:
    none = {"understood": False, "reason": "there are no ratings", "records_selector": None, "fields": []}
    llm.script(none, {"understood": False, "reason": "there are no ratings", "data": None})
    error = take.error("cards", instruction="the rating of each product")
    assert error.info.code == "instruction_unclear"
    assert "there are no ratings" in error.info.message


def test_what_matching_is_sure_of_asks_no_model(take: Taking, llm: LlmServer) -> None:
    assert take("cards", instruction="all product names and prices").source["how"] == "match"
    assert llm.requests == []
