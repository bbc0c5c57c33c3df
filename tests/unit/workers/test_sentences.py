"""A prompt of plain steps is taken apart; more than that is not read."""

from __future__ import annotations

from typing import Any

import pytest

from workers.browser.sentences import NotPlain, plain_steps


def read(prompt: str) -> list[tuple[str, Any]]:
    return [(step.type, step.config.get("instruction") or step.config or None) for step in plain_steps(prompt)]


@pytest.mark.parametrize(
    ("prompt", "steps"),
    [
        (
            "Go to https://a.example/x. Click Sign in. Extract all names.",
            [
                ("navigate", {"url": "https://a.example/x"}),
                ("click", "Click Sign in"),
                ("extract", "Extract all names"),
            ],
        ),
        ("Open shop.example.com/lamps", [("navigate", {"url": "https://shop.example.com/lamps"})]),
        ("Open the cart", [("click", "Open the cart")]),
        (
            "Click A, then click B and type x into y",
            [("click", "Click A"), ("click", "click B"), ("type", "type x into y")],
        ),
        ('Type "Go. Click it and run" into Notes', [("type", 'Type "Go. Click it and run" into Notes')]),
        ("1. Click A\n2) Click B\n- Click C", [("click", "Click A"), ("click", "Click B"), ("click", "Click C")]),
        ("1. Click A 2. Click B", [("click", "Click A"), ("click", "Click B")]),
        ("Press Enter; wait 2 seconds", [("press", {"keys": "Enter"}), ("wait", {"duration": 2000})]),
        ("Wait for 500 ms", [("wait", {"duration": 500})]),
        ("Wait until Ready appears", [("wait", {"text": "Ready"})]),
        ("Wait for the text Done", [("wait", {"text": "Done"})]),
        ("Scroll to the bottom", [("scroll", {"to": "bottom"})]),
        ("Scroll down", [("scroll", {"y": 600})]),
        ("Scroll to Read more", [("scroll", "Scroll to Read more")]),
        ("Take a screenshot", [("screenshot", None)]),
        ("Choose Germany as country", [("choose", "Choose Germany as country")]),
        ("Set the date to 1.2.2027", [("choose", "Set the date to 1.2.2027")]),
        ("Save and publish", [("click", "Save and publish")]),
        ("What is the price?", [("extract", "What is the price?")]),
    ],
)
def test_steps_are_read(prompt: str, steps: list[tuple[str, Any]]) -> None:
    assert read(prompt) == steps


@pytest.mark.parametrize(
    ("prompt", "checked"),
    [
        ("Check Remember me", True),
        ("Untick the newsletter", False),
        ("Turn dark mode off", False),
        ("Turn on wifi", True),
    ],
)
def test_boxes_are_ticked_and_unticked(prompt: str, checked: bool) -> None:
    [step] = plain_steps(prompt)
    assert (step.type, step.config["checked"]) == ("check", checked)


@pytest.mark.parametrize("prompt", ["Enter the one-time code", "Type {totp} into the code field", "Enter my 2FA code"])
def test_a_one_time_code_is_awaited(prompt: str) -> None:
    [step] = plain_steps(prompt)
    assert (step.type, step.config["totp"]) == ("type", {})


def test_a_search_is_typed_and_sent() -> None:
    [step] = plain_steps("Search for blue lamps")
    assert (step.type, step.config["text"], step.config["submit"]) == ("type", "blue lamps", True)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("Click Lamps. Compare the two cheapest", "Compare the two cheapest"),
        ("If there is a banner, close it", "If there is a banner"),
        ("Bring me the best offer", "Bring me the best offer"),
    ],
)
def test_more_than_plain_steps_is_not_read(prompt: str, sentence: str) -> None:
    with pytest.raises(NotPlain) as caught:
        plain_steps(prompt)
    assert caught.value.sentence == sentence
