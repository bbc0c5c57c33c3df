"""Values of extraction: numbers, dates, yes and no, and what an instruction asks for."""

from __future__ import annotations

import pytest

from workers.browser.extract_document import Document, Node
from workers.browser.extract_fields import moment, number, read_as
from workers.browser.extract_found import name_of
from workers.browser.extract_reading import build
from workers.browser.extract_request import fit, understand


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$1,299.00", 1299.0), ("1.299,00 €", 1299.0), ("1 299,50", 1299.5), ("1'299", 1299), ("1,299", 1299),
        ("1,29", 1.29), ("1.234.567", 1234567),
        ("1.299", 1.299), ("12", 12), ("-5 °C", -5), ("−5", -5), ("SKU-5", 5), ("3 of 12", 3), ("1,234,567", 1234567),
        ("about 1 200 people", 1200), ("none", None), ("", None), ("1,2,3.4.5", None),
        ("0,999", 0.999), (".5 kg", 0.5), ("etc.5", 5), ("1,234,5", None), ("1.2.3", None), ("192.168.0.1", None),
        ("1,23,456.78", 123456.78), ("\u0663\u066b\u0665", 3.5), ("04.05.2026", None), ("1,234.567", 1234.567),
        ("9" * 50, None), ("12345678901234567890", 12345678901234567890.0),
    ],
)  # fmt: skip
def test_the_first_number_is_read_however_it_is_written(text: str, value: float | None) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("language", "text", "value"),
    [
        ("de", "1.299 €", 1299), ("de-DE", "1,799 €/l", 1.799), ("fr_FR", "1.234.567", 1234567), ("de", "12.5", 12.5),
        ("de", "1.299,50", 1299.5), ("de", "0.125", 0.125), ("en", "1.299", 1.299), ("en-GB", "1,299", 1299),
        ("de-CH", "1.299", 1.299), ("es-MX", "1,299", 1299), ("", "1.299", 1.299),
    ],
)  # fmt: skip
def test_a_doubtful_sign_is_read_as_the_language_of_the_page_writes_it(language: str, text: str, value: float) -> None:
    document = page([-1, "html", 0, {"lang": language}])
    assert read_as(text, "number", document) == value
    assert read_as("1.299", "number", document, shown=False) == 1.299


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-05-04", "2026-05-04"),
        ("2026-05-04T08:00:00Z", "2026-05-04T08:00:00Z"),
        ("2026-05-04T08:00:00+02:00", "2026-05-04T08:00:00+02:00"),
        ("4 May 2026", "2026-05-04"),
        ("May 4th, 2026", "2026-05-04"),
        ("04.05.2026", "2026-05-04"),
        ("25/12/2026", "2026-12-25"),
        ("12/25/2026", "2026-12-25"),
        ("03/04/2026", None),
        ("31/31/2026", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_date_is_read_unless_it_could_be_two(text: str, value: str | None) -> None:
    assert moment(text) == value


def page(*entries: list[object]) -> Document:
    nodes = build(entries)
    return Document("https://x.org/a/", "https://x.org/a/", "", nodes[0], {}, [])


def test_texts_are_read_as_their_type() -> None:
    document = page([-1, "html", 0, {}])
    assert [read_as(text, "boolean", document) for text in ("Yes", "✗", "perhaps")] == [True, False, None]
    assert read_as("12.5", "integer", document) is None
    assert read_as("12.0", "integer", document) == 12
    assert read_as("../b?c", "url", document) == "https://x.org/b?c"
    assert read_as("http://[broken", "url", document) == "http://[broken"


def test_text_is_what_a_person_reads() -> None:
    document = page(
        [-1, "div", 2, {}], [0, "\n  Two "], [0, "b", 0, {}], [2, "words"], [0, "p", 2, {}], [4, "a block"],
        [0, "span", 1, {}], [6, "unseen"], [0, "input", 0, {"value": "typed"}], [0, "script", 1, {}], [9, "{}"],
    )  # fmt: skip
    assert document.root.text() == "Two words a block typed"
    assert document.root.lines() == "Two words\na block\ntyped"
    hidden = document.root.elements[2]
    assert isinstance(hidden, Node)
    assert hidden.text() == "unseen"


def test_html_is_escaped_again_and_links_made_whole() -> None:
    document = page([-1, "p", 2, {}], [0, "a", 0, {"href": "/x?a&b"}], [1, "<b> & co"], [0, "i", 1, {}], [3, "unseen"])
    assert document.root.html(document.absolute) == '<a href="https://x.org/x?a&amp;b">&lt;b&gt; &amp; co</a>'
    assert "unseen" in document.root.html(document.absolute, hidden=True)


@pytest.mark.parametrize(
    ("words", "wanted", "entity", "many"),
    [
        ("Extract all product names and prices from the page", ["name", "prices"], ("product",), True),
        ("names and prices of all products", ["names", "prices"], ("product",), True),
        ("for each order, the customer and the total", ["customer", "total"], ("order",), True),
        ("Get me the price of the product", ["price"], ("product",), False),
        ("books with their authors", ["authors"], ("book",), True),
        ("the delivery address", ["delivery address"], (), False),
        ("the employee's salary", ["employee salary"], (), False),
    ],
)
def test_an_instruction_is_taken_apart(words: str, wanted: list[str], entity: tuple[str, ...], many: bool) -> None:
    request = understand(words)
    said = [one.phrase.removeprefix("the ") for one in request.wanted]
    assert [phrase.removeprefix("product ").replace("names", "name") for phrase in said] == [
        phrase.replace("names", "name") for phrase in wanted
    ]
    assert (request.entity, request.many) == (entity, many)


@pytest.mark.parametrize(
    ("words", "specials"),
    [
        ("Extract the page title and main content", ["title", "main_text"]),
        ("title of the page", ["title"]),
        ("all links", ["links"]),
        ("every image on this page", ["images"]),
        ("the table of orders", ["table"]),
        ("the structured data", ["structured"]),
        ("the article text", ["main_text"]),
    ],
)
def test_what_every_page_has_is_known_by_name(words: str, specials: list[str]) -> None:
    assert understand(words).specials == specials


def test_fields_are_named_after_what_was_said() -> None:
    request = understand("all order numbers and customer e-mails")
    assert [name_of(one, request) for one in request.wanted] == ["number", "customer_e_mail"]


def test_labels_fit_by_words_synonyms_and_no_more() -> None:
    def of(wanted: str, label: str) -> float:
        return fit(understand(f"the {wanted}").wanted[0].words, (), label)

    assert of("order number", "Order No.") > 0.8
    assert of("price", "Price") == 1
    assert of("price", "Unit price") > 0.6
    assert of("cost", "Price") > 0.6
    assert of("delivery adress", "Delivery address") > 0.6
    assert of("price", "Customer") == 0
    assert of("total", "The total of all the orders that were placed last year") < 0.6
