"""What a step points at: by selector, role and name, label, text, placeholder, test id, or in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import Field, StringConstraints, model_validator

from taskengine.domain.errors import PermanentError
from taskengine.handlers.base import HandlerConfig

if TYPE_CHECKING:  # the API reads configs without Playwright
    from playwright.sync_api import FrameLocator, Locator, Page

Wants = Literal["click", "type", "select", "check", "hover", "upload", "read", "scroll"]
"""What is to be done with the element; it tells which elements plain words may mean."""

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]

_FIELD_WAYS = ("selector", "role", "label", "placeholder", "test_id", "instruction")
_SPELLINGS = "selector, role (with name), label, text, placeholder, testId, instruction"


class Pointing(HandlerConfig):
    """Which element is meant: one of the ways is given, and what matches must be one element, or ``nth`` says which."""

    known_ways: ClassVar[tuple[str, ...]] = _FIELD_WAYS

    selector: Words | None = Field(
        None, description="CSS selector, or XPath when it starts with `//` or `xpath=`.", examples=["#submit-button"]
    )
    role: Words | None = Field(
        None, description="ARIA role, such as `button`, `link`, `textbox`; give `name` with it.", examples=["button"]
    )
    name: Words | None = Field(
        None, description="Accessible name that goes with `role`: the text of a button, the label of a field."
    )
    label: Words | None = Field(None, description="Text of the label of a form field.")
    placeholder: Words | None = Field(None, description="Placeholder of a form field.")
    test_id: Words | None = Field(None, description="Value of the attribute `data-testid`.")
    instruction: Words | None = Field(
        None, description="The element in plain words: `the blue Sign in button`.", examples=["click Sign in"]
    )
    nth: int | None = Field(
        None, ge=-1000, le=100_000, description="Which one of several matches, from 0; negative counts from the end."
    )
    frame: Words | None = Field(None, description="CSS selector of the frame (iframe) that holds the element.")
    exact: bool = Field(
        False, description="Match name, label, text and placeholder whole, with capitals as they are, not as a part."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = self.ways()
        if len(ways) > 1:
            raise ValueError(f"points at the element in several ways ({', '.join(ways)}); give one of {_SPELLINGS}")
        if self.name is not None and self.role is None:
            raise ValueError("name goes with role; for a form field give label, for any text give text")
        if not ways and self.needs_target():
            raise ValueError(f"does not say which element; give one of {_SPELLINGS}")
        return self

    def ways(self) -> list[str]:
        """The ways that are given."""
        return [way for way in self.known_ways if getattr(self, way) is not None]

    def needs_target(self) -> bool:
        """Whether the step is about an element in any case."""
        return True

    def target(self) -> Target | None:
        """The element alone, without the step's other fields; None when none is named."""
        if not self.ways():
            return None
        return Target(**{name: getattr(self, name) for name in (*self.known_ways, "name", "nth", "frame", "exact")})


class Target(Pointing):
    """An element of a page."""

    known_ways: ClassVar[tuple[str, ...]] = (*_FIELD_WAYS, "text")

    text: Words | None = Field(None, description="Text that the element shows.")

    def described(self) -> str:
        """The target in a few words, for messages."""
        given = {name: value for name, value in self.model_dump(exclude_none=True).items() if value is not False}
        return ", ".join(f"{name} {value!r}" for name, value in given.items())


def find_in(page: Page, target: Target) -> Locator:
    """The locator of a target that needs no plain words resolved (``elements.locate`` does that too)."""
    return _nth(_found(_scope(page, target), target), target)


def _scope(page: Page, target: Target) -> Page | FrameLocator:
    return page if target.frame is None else page.frame_locator(target.frame)


def _found(scope: Page | FrameLocator, target: Target) -> Locator:  # noqa: PLR0911 - one line for each way
    if target.selector is not None:
        return scope.locator(target.selector)
    if target.role is not None:
        if target.name is None:
            return scope.get_by_role(cast("Any", target.role))
        return scope.get_by_role(cast("Any", target.role), name=target.name, exact=target.exact)
    if target.label is not None:
        return scope.get_by_label(target.label, exact=target.exact)
    if target.text is not None:
        return scope.get_by_text(target.text, exact=target.exact)
    if target.placeholder is not None:
        return scope.get_by_placeholder(target.placeholder, exact=target.exact)
    if target.test_id is not None:
        return scope.get_by_test_id(target.test_id)
    raise PermanentError("target_not_found", "the step names no element")


def _nth(locator: Locator, target: Target) -> Locator:
    return locator if target.nth is None else locator.nth(target.nth)
