"""Reads a prompt that is a sequence of plain steps: "Go to X. Click Y. Extract Z." More than that is not read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_QUOTED = r"\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|`[^`]*`"
_STEP_VERBS = (
    "click|press|tap|type|enter|fill|write|select|choose|pick|check|tick|uncheck|untick|enable|disable|turn|go|open|visit|"
    "navigate|search|extract|scrape|collect|list|get|read|wait|scroll|hover|take|accept|reject|decline|close|submit|log|"
    "sign|set|upload|add|show|tell|return|find|confirm|continue|dismiss|download|sort|filter"
)
_BREAK = re.compile(
    rf"({_QUOTED}|https?://\S+)|(\n+|[.;!]+(?=\s|$)|,?\s+(?:and\s+then|then|and\s+finally)\s+(?=(?:{_STEP_VERBS})\b)"
    rf"|,?\s+and\s+(?=(?:{_STEP_VERBS})\s)|,\s+(?=(?:{_STEP_VERBS})\s))",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    rf"^\s*(?:\d{{1,2}}[.)]|[-*•]|step \d+:?)\s+|(?<=[\s.;])\d{{1,2}}[.)]\s+(?=(?:{_STEP_VERBS})\b)",
    re.IGNORECASE | re.MULTILINE,
)
_FILLER = re.compile(r"^(?:please|then|next,?|now,?|first,?|finally,?|and|afterwards,?)\s+", re.IGNORECASE)
_ADDRESS = re.compile(
    r"^(?:https?://\S+|(?:localhost|\d{1,3}(?:\.\d{1,3}){3})(?::\d+)?(?:/\S*)?|(?:[\w-]+\.)+[a-z]{2,}(?::\d+)?(?:/\S*)?)$",
    re.IGNORECASE,
)
_KEYS = {
    "enter": "Enter", "return": "Enter", "escape": "Escape", "esc": "Escape", "tab": "Tab", "space": "Space",
    "backspace": "Backspace", "delete key": "Delete", "page down": "PageDown", "page up": "PageUp", "home": "Home",
    "end": "End", "arrow down": "ArrowDown", "arrow up": "ArrowUp", "arrow left": "ArrowLeft",
    "arrow right": "ArrowRight", "down arrow": "ArrowDown", "up arrow": "ArrowUp",
}  # fmt: skip
_CODE = (
    r"(?:the\s+|my\s+)?(?:one[- ]time|verification|security|login|2fa|two[- ]factor|totp|authenticator)\s+(?:pass)?code"
)
_CLICKS = re.compile(
    r"^(?:click|press|tap|hit|push|open|follow|go|show|view|accept|reject|decline|refuse|agree|close|dismiss|submit|log|"
    r"sign|add|remove|delete|save|send|post|continue|confirm|cancel|next|expand|collapse|subscribe|register|sort|filter|"
    r"book|order|buy|place|reply|like|share|print|edit|rename|create|start|stop|play|pause|switch|apply|zoom|use|"
    r"download|skip|allow|finish|load|mark|move|archive|compose|pay)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class PlainStep:
    """One step in words. ``type`` is that of a browser step, or ``choose``, whose kind only the page tells."""

    text: str
    type: str
    config: dict[str, Any] = field(default_factory=dict)


class NotPlain(Exception):
    """A sentence says more than one step, or something that words alone do not decide."""

    def __init__(self, sentence: str) -> None:
        super().__init__(f"{sentence!r} is no step in plain words")
        self.sentence = sentence


def plain_steps(prompt: str) -> list[PlainStep]:
    """The steps that a prompt spells out; raises NotPlain."""
    return [_step(sentence) for sentence in _sentences(prompt)]


def _sentences(prompt: str) -> list[str]:
    prompt = _NUMBER.sub("\n", prompt)
    parts, begin = [], 0
    for found in _BREAK.finditer(prompt):
        if found[2] is None:
            # A quotation or an address; the full stop after an address ends the sentence.
            address = found[1]
            if address.endswith((".", ";", "!", ",")):
                parts.append(prompt[begin : found.end() - 1])
                begin = found.end()
            continue
        parts.append(prompt[begin : found.start()])
        begin = found.end()
    parts.append(prompt[begin:])
    cleaned = (_FILLER.sub("", _FILLER.sub("", part.strip())).strip(" .,;") for part in parts)
    return [part for part in cleaned if part]


def address_in(text: str) -> str | None:
    """The address that a text is, with its scheme; None if it is none."""
    text = text.strip().strip("\"'`")
    if not _ADDRESS.match(text):
        return None
    return text if re.match(r"(?i)^https?://", text) else f"https://{text}"


def _step(sentence: str) -> PlainStep:
    for read in (_navigate, _key, _wait, _scroll, _picture, _code, _search, _extract, _fields, _click):
        step = read(sentence)
        if step is not None:
            return step
    raise NotPlain(sentence)


def _navigate(sentence: str) -> PlainStep | None:
    match = re.match(r"(?i)^(?:go|navigate|browse|head)\s+to\s+(.+)$|^(?:open|visit|load)\s+(.+)$", sentence)
    if match is None:
        return None
    rest = re.sub(r"(?i)^(?:the\s+)?(?:page|site|website|url|address)\s+(?:at\s+)?", "", match[1] or match[2])
    address = address_in(rest)
    return None if address is None else PlainStep(sentence, "navigate", {"url": address})


def _key(sentence: str) -> PlainStep | None:
    match = re.match(r"(?i)^(?:press|hit)\s+(?:the\s+)?(.+?)(?:\s+key)?$", sentence)
    key = _KEYS.get(match[1].lower()) if match else None
    return None if key is None else PlainStep(sentence, "press", {"keys": key})


def _wait(sentence: str) -> PlainStep | None:
    if match := re.match(
        r"(?i)^wait\s+(?:for\s+)?(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|sec|seconds?|minutes?)$", sentence
    ):
        unit = match[2].lower()
        factor = (
            1 if unit.startswith("m") and not unit.startswith("min") else 60_000 if unit.startswith("min") else 1000
        )
        return PlainStep(sentence, "wait", {"duration": float(match[1]) * factor})
    match = re.match(
        r"(?i)^wait\s+(?:for|until)\s+(?:the\s+)?(?:text\s+)?[\"“']?(.+?)[\"”']?(?:\s+(?:to\s+)?(?:appears?|is\s+shown))?$",
        sentence,
    )
    return None if match is None else PlainStep(sentence, "wait", {"text": match[1]})


def _scroll(sentence: str) -> PlainStep | None:
    if match := re.match(
        r"(?i)^scroll\s+(?:down\s+|up\s+)?to\s+the\s+(top|bottom|end)(?:\s+of\s+the\s+page)?$", sentence
    ):
        return PlainStep(sentence, "scroll", {"to": "top" if match[1].lower() == "top" else "bottom"})
    if match := re.match(r"(?i)^scroll\s+(down|up)$", sentence):
        return PlainStep(sentence, "scroll", {"y": 600 if match[1].lower() == "down" else -600})
    if re.match(r"(?i)^scroll\s+", sentence):
        return PlainStep(sentence, "scroll", {"instruction": sentence})
    return PlainStep(sentence, "hover", {"instruction": sentence}) if re.match(r"(?i)^hover\s+", sentence) else None


def _picture(sentence: str) -> PlainStep | None:
    return PlainStep(sentence, "screenshot") if re.match(r"(?i)^(?:take|make)\s+a\s+screenshot\b", sentence) else None


def _code(sentence: str) -> PlainStep | None:
    """A one-time code is awaited, not read from the words."""
    match = re.match(
        rf"(?i)^(?:type|enter|fill\s+in|put|input)\s+(?:\{{totp\}}|{_CODE})(?:\s+(?:into|in|as)\s+(.+))?$", sentence
    )
    if match is None:
        return None
    return PlainStep(sentence, "type", {"totp": {}, "instruction": match[1] or "the code field"})


def _search(sentence: str) -> PlainStep | None:
    match = re.match(r"(?i)^search\s+(?:for\s+)(.+)$", sentence)
    if match is None:
        return None
    text = match[1].strip("\"“”'`")
    return PlainStep(sentence, "type", {"instruction": "the search field", "text": text, "submit": True})


def _extract(sentence: str) -> PlainStep | None:
    verbs = (
        r"extract|scrape|collect|gather|return|report|list|tell\s+me|give\s+me|show\s+me|what\s+(?:is|are)"
        r"|(?:get|read|find|take|copy|note)\s+(?:me\s+)?(?:all|every|each|the)"
    )
    return (
        PlainStep(sentence, "extract", {"instruction": sentence})
        if re.match(rf"(?i)^(?:{verbs})\b", sentence)
        else None
    )


_OFF = re.compile(r"(?i)^(?:uncheck|untick|disable|deselect|(?:turn|switch)\s+off|turn\b.*\boff$)\b")
_ON = re.compile(r"(?i)^(?:check|tick|enable|(?:turn|switch)\s+on|turn\b.*\bon$|agree\s+to|accept\s+the\s+terms)\b")
_NO_BOX = re.compile(r"(?i)^check\s+(?:out|availability|in)\b")


def _fields(sentence: str) -> PlainStep | None:
    """What is done with the fields of a form."""
    off = _OFF.match(sentence) is not None
    if off or (_ON.match(sentence) and not _NO_BOX.match(sentence)):
        return PlainStep(sentence, "check", {"instruction": sentence, "checked": not off})
    if re.match(r"(?i)^(?:type|enter|fill|write|put|input|insert)\b", sentence):
        return PlainStep(sentence, "type", {"instruction": sentence})
    if re.match(r"(?i)^(?:select|choose|pick|set|change)\b", sentence):
        return PlainStep(sentence, "choose", {"instruction": sentence})
    return None


def _click(sentence: str) -> PlainStep | None:
    return PlainStep(sentence, "click", {"instruction": sentence}) if _CLICKS.match(sentence) else None
