"""Which element plain words mean, and when that is unclear."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.browser.instruction_grammar import readings
from workers.browser.instruction_words import alike, meaning, words
from workers.browser.matching import match, option_of
from workers.browser.snapshot import Element
from workers.browser.targets import Wants


def page(*elements: dict[str, Any]) -> list[Element]:
    return [Element(index=place, **{"role": "button", "name": "", **item}) for place, item in enumerate(elements)]


def chosen(elements: list[Element], instruction: str, wants: Wants = "click") -> int | None:
    found = match(elements, instruction, wants).chosen
    return None if found is None else found.element.index


SAVES = page({"name": "Save draft"}, {"name": "Save and publish"}, {"name": "Cancel"})


@pytest.mark.parametrize(
    ("instruction", "index"),
    [
        ("click Save", None),
        ("click Save draft", 0),
        ("save and publish", 1),
        ("click 'Save'", None),
        ("click the last save button", 1),
        ("click the third save button", None),
        ("cancle", 2),
        ("click Delete", None),
        ("do not click anything", None),
        ("", None),
        ("...", None),
    ],
)
def test_a_clear_winner_or_none(instruction: str, index: int | None) -> None:
    assert chosen(SAVES, instruction) == index


def test_an_exact_name_wins_over_one_of_the_same_meaning() -> None:
    assert chosen(page({"name": "Log in"}, {"name": "Sign in"}), "log in") == 0
    assert chosen(page({"name": "Anmelden"}, {"name": "Help"}), "log in") == 0


def test_two_links_to_one_place_are_no_rivals() -> None:
    link = {"role": "link", "name": "More"}
    assert chosen(page({**link, "href": "/a"}, {**link, "href": "/a"}), "click More") == 0
    assert chosen(page({**link, "href": "/a"}, {**link, "href": "/b"}), "click More") is None


def test_the_place_tells_twins_apart() -> None:
    twins = page(
        {"name": "Edit", "headings": ("Settings", "Billing")},
        {"name": "Edit", "regions": ("Profile",)},
        {"name": "Edit", "around": "Anna Berg 20.00"},
    )
    assert chosen(twins, "click Edit in the Billing section") == 0
    assert chosen(twins, "click Edit under Profile") == 1
    assert chosen(twins, "click Edit in the row of Anna Berg") == 2
    assert chosen(twins, "click Edit in the Shipping section") is None


def test_the_kind_tells_a_button_from_a_link() -> None:
    both = page({"role": "link", "name": "Sign in"}, {"name": "Sign in"})
    assert chosen(both, "click the sign in link") == 0
    assert chosen(both, "click the sign in button") == 1
    assert chosen(both, "sign in") is None


def test_only_what_can_be_typed_into_is_typed_into() -> None:
    fields = page({"name": "Email"}, {"role": "textbox", "name": "Email", "readonly": True})
    assert chosen(fields, "type x into Email", "type") is None


@pytest.mark.parametrize(
    ("instruction", "wants", "value"),
    [
        ("type jane@example.org into the email field", "type", "jane@example.org"),
        ('type "in or out" into the email field', "type", "in or out"),
        ("fill in the email with a b c", "type", "a b c"),
        ("set the email to x to y", "type", "x to y"),
        ("enter x as email", "type", "x"),
        ("the email field", "type", None),
    ],
)
def test_the_value_is_found_beside_the_target(instruction: str, wants: Wants, value: str | None) -> None:
    found = match(page({"role": "textbox", "name": "Email"}), instruction, wants).chosen
    assert found is not None
    assert found.reading.value == value


def test_a_value_that_is_a_sentence_keeps_its_words() -> None:
    fields = page({"role": "textbox", "name": "Dish"}, {"role": "textbox", "name": "City"})
    found = match(fields, "type Fish in batter in the dish field", "type").chosen
    assert found is not None
    assert (found.element.index, found.reading.value) == (0, "Fish in batter")


def test_an_option_is_one_word_for_word_or_the_only_one_that_begins_so() -> None:
    choice = page({"role": "combobox", "tag": "select", "options": ("Germany", "Germany (East)", "Spain (ES)")})[0]
    assert option_of(choice, "germany") == "Germany"
    assert option_of(choice, "Spain") == "Spain (ES)"
    assert option_of(choice, "France") is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("cancle", "cancel", True),
        ("adress", "address", True),
        ("recieve", "receive", True),
        ("subscribe", "unsubscribe", False),
        ("activate", "deactivate", False),
        ("private", "privacy", False),
        ("price", "prize", False),
        ("card", "cart", False),
        ("123456", "123457", False),
        ("settings", "setting", True),
    ],
)
def test_a_slip_is_forgiven_and_another_word_is_not(one: str, other: str, same: bool) -> None:
    assert (alike(one, other) > 0) is same
    assert alike(one, other) == alike(other, one)


def test_words_lose_case_accents_plurals_and_signs() -> None:
    assert words("Größe_Wählen Cookies ›") == ("grosse", "wahlen", "cooky", "next")
    assert meaning(words("E-Mail address")) == meaning(words("email"))
    assert meaning(words("Se connecter")) == meaning(words("Log in"))


@given(
    st.text(max_size=200), st.sampled_from(["click", "type", "select", "check", "upload", "read", "scroll", "hover"])
)
def test_any_text_is_read_without_a_fault(text: str, wants: Wants) -> None:
    readings(text, wants)
    match(SAVES, text, wants)


def test_long_texts_are_read_quickly_enough_to_be_read_at_all() -> None:
    assert match(SAVES, "click " + "in the of save for " * 100, "click").chosen is None
