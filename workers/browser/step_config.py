"""The steps of ``automationSteps``: each type with a config of its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    JsonValue,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from taskengine.domain.wire import Name, no_nul
from taskengine.handlers.base import HandlerConfig
from workers.browser.extract_config import ExtractConfig
from workers.browser.targets import Pointing, Target, Words

Milliseconds = Annotated[float, Field(ge=0, le=24 * 3600 * 1000, allow_inf_nan=False)]
LongText = Annotated[str, StringConstraints(max_length=200_000), AfterValidator(no_nul)]
LoadState = Literal["load", "domcontentloaded", "networkidle", "commit"]


def _web_address(url: str) -> str:
    if url != "about:blank" and not url.lower().startswith(("http://", "https://")):
        raise ValueError("should be an http or https URL; other schemes, file: among them, are not opened")
    return url


WebAddress = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000), AfterValidator(_web_address)
]


class NavigateConfig(HandlerConfig):
    """Open an address in the current page."""

    url: WebAddress = Field(description="http or https URL.", examples=["https://example.com"])
    wait_until: LoadState = Field("load", description="When the page counts as opened.")
    allow_status: bool = Field(
        False, description="Go on when the page answers with a status of 400 or more, which otherwise fails the step."
    )
    referer: str | None = Field(None, max_length=8000, description="Value of the Referer header.")


class ClickConfig(Target):
    """Click an element."""

    button: Literal["left", "right", "middle"] = Field("left", description="Mouse button.")
    count: int = Field(1, ge=1, le=3, description="2 is a double click.")
    force: bool = Field(False, description="Do not wait until the element is visible, stable and uncovered.")


class StoredSecret(HandlerConfig):
    """A one-time code: made from a stored secret, or pushed for an identifier."""

    secret: SecretStr | None = Field(
        None,
        description="TOTP secret (Base32, or an `otpauth://` URI) to make the code from; pass `{{ secrets.NAME }}`.",
    )
    identifier: Name | None = Field(
        None, description="Wait for a code that is pushed for this identifier by POST /v1/totp."
    )
    timeout_seconds: float = Field(120, gt=0, le=3600, description="Wait so long for a pushed code.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.secret is None) == (self.identifier is None):
            raise ValueError("give either secret, to make the code from, or identifier, to wait for a pushed one")
        return self


class TypeConfig(Pointing):
    """Fill a form field."""

    text: LongText | None = Field(None, description="What to type; pass what is secret as `{{ secrets.NAME }}`.")
    totp: StoredSecret | None = Field(None, description="Type a one-time code instead of a text.")
    clear: bool = Field(True, description="Empty the field first.")
    delay: Milliseconds | None = Field(
        None, description="Type key by key, with so many milliseconds between them, as a person does."
    )
    submit: bool = Field(False, description="Press Enter afterwards.")
    sensitive: bool = Field(
        False, description="Keep the text out of all that is recorded. For password fields that is done in any case."
    )

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if self.text is not None and self.totp is not None:
            raise ValueError("give either text or totp")
        if self.text is None and self.totp is None and self.instruction is None:
            raise ValueError("says nothing to type; give text or totp")
        return self


class SelectConfig(Pointing):
    """Choose options of a select field."""

    value: str | list[str] | None = Field(
        None, description="Value or text of the option; a list where several may be chosen."
    )

    @model_validator(mode="after")
    def _an_option(self) -> Self:
        if self.value is None and self.instruction is None:
            raise ValueError("says nothing to choose; give value")
        return self


class CheckConfig(Target):
    """Tick a check box or choose a radio button."""

    checked: bool = Field(True, description="False unticks.")


class HoverConfig(Target):
    """Move the mouse over an element: a menu that opens by it, a hint."""


class PressConfig(Target):
    """Press a key, in an element or on the page."""

    keys: str = Field(
        min_length=1,
        max_length=100,
        validation_alias=AliasChoices("key", "keys"),
        description="Key or chord: `Enter`, `Escape`, `Control+A`; `keys` works too.",
        examples=["Enter"],
    )

    def needs_target(self) -> bool:
        """Without one the key goes to what has the focus."""
        return False


class ScrollConfig(Target):
    """Scroll to an element, to an end of the page, or by so many pixels."""

    to: Literal["top", "bottom"] | None = Field(None, description="An end of the page.")
    x: int = Field(0, ge=-1_000_000, le=1_000_000, description="Pixels to the right.")
    y: int = Field(0, ge=-1_000_000, le=1_000_000, description="Pixels down.")

    def needs_target(self) -> bool:
        """Without one the page is scrolled."""
        return False


class WaitConfig(HandlerConfig):
    """Wait for one thing."""

    duration: Milliseconds | None = Field(None, description="So many milliseconds.", examples=[1000])
    selector: Words | None = Field(None, description="Until an element matches this CSS selector.")
    text: Words | None = Field(None, description="Until the page shows this text.")
    url: Words | None = Field(None, description="Until the address is this one; `*` and `**` stand for anything.")
    load_state: Literal["load", "domcontentloaded", "networkidle"] | None = Field(
        None, description="Until the page has come so far."
    )
    state: Literal["visible", "hidden", "attached", "detached"] = Field(
        "visible", description="What the element or text is waited to be."
    )

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        given = [
            name for name in ("duration", "selector", "text", "url", "load_state") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError("give one of duration, selector, text, url, loadState")
        return self


class ScreenshotConfig(Target):
    """Take a picture of the page, or of an element."""

    full_page: bool = Field(False, description="The whole page, not only what is in view.")
    dom: bool = Field(False, description="Store the page's DOM too.")

    def needs_target(self) -> bool:
        """Without one it is the page."""
        return False


class GivenFile(HandlerConfig):
    """A file to upload: a stored one, or one written here."""

    artifact_id: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, description="Id of a stored file of the organization."
    )
    name: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^/\\\x00]+$")] | None = Field(
        None, description="File name; a stored file has one."
    )
    content: Annotated[str, StringConstraints(max_length=5_000_000)] | None = Field(
        None, description="The content itself."
    )
    encoding: Literal["text", "base64"] = Field("text", description="How `content` is written.")
    content_type: Annotated[str, StringConstraints(max_length=200)] | None = Field(None, description="Media type.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.artifact_id is None) == (self.content is None):
            raise ValueError("give either artifactId or content")
        if self.content is not None and self.name is None:
            raise ValueError("content needs a name for the file")
        return self


class UploadConfig(Target):
    """Put files into a file field."""

    files: list[GivenFile] = Field(min_length=1, max_length=20, description="The files.")


class DownloadConfig(Target):
    """Click what starts a download, or open its address, and store the file."""

    url: WebAddress | None = Field(None, description="Open this address instead of clicking an element.")
    save_as: Name | None = Field(None, description="Name to store the file under, instead of the one it comes with.")
    max_bytes: int = Field(100 * 2**20, ge=1, le=2**30, description="Largest file that is stored.")

    def needs_target(self) -> bool:
        """The address suffices."""
        return self.url is None


class AssertConfig(Target):
    """Check the page; the step fails when it does not hold."""

    state: Literal["visible", "hidden", "enabled", "disabled", "checked", "unchecked"] | None = Field(
        None, description="What the element is; `visible` when nothing else is asked of it."
    )
    contains: str | None = Field(None, max_length=20_000, description="Text that the element, or the page, shows.")
    value: str | None = Field(None, max_length=20_000, description="What the form field holds.")
    count: int | None = Field(None, ge=0, le=1_000_000, description="How many elements match.")
    url: Words | None = Field(None, description="Address of the page; `*` and `**` stand for anything.")
    title: str | None = Field(None, max_length=2000, description="Text that the page's title holds.")

    def needs_target(self) -> bool:
        """Only what is about an element does."""
        return any(item is not None for item in (self.state, self.value, self.count))

    @model_validator(mode="after")
    def _something(self) -> Self:
        asked = (self.state, self.contains, self.value, self.count, self.url, self.title)
        if not self.ways() and all(item is None for item in asked):
            raise ValueError("checks nothing; give an element, contains, url or title")
        return self


class EvaluateConfig(HandlerConfig):
    """Run a script in the page. Only where the operator allows it (``TASKENGINE_BROWSER_EVALUATE``)."""

    script: LongText = Field(
        min_length=1,
        description="JavaScript expression or function; it gets `arg`.",
        examples=["() => document.links.length"],
    )
    arg: JsonValue = Field(None, description="Handed to the function.")


class ClosePopupConfig(Target):
    """Close the newest window that the page opened, or the dialog that covers it."""

    def needs_target(self) -> bool:
        """Without one it finds the window, or the dialog's own close button."""
        return False


class StepRetry(HandlerConfig):
    """How often a step is tried again by itself."""

    times: int = Field(1, ge=0, le=20, description="Try again so many times.")
    delay: Milliseconds = Field(500, description="Milliseconds between tries.")


class BaseStep(HandlerConfig):
    """What every step may have."""

    name: Name | None = Field(None, description="Name of the step; extracted data is found under it.")
    optional: bool = Field(False, description="Go on when it fails.")
    timeout: Annotated[float, Field(gt=0, le=24 * 3600 * 1000)] | None = Field(
        None, description="Time limit of a try in milliseconds; otherwise that of the task's `stepTimeout`."
    )
    retry: StepRetry | int | None = Field(None, description="Tries after the first; a number, or with their delay.")

    def retries(self) -> StepRetry:
        """The retry policy written out."""
        if isinstance(self.retry, StepRetry):
            return self.retry
        return StepRetry(times=min(self.retry or 0, 20))

    @model_validator(mode="after")
    def _few_retries(self) -> Self:
        if isinstance(self.retry, int) and not 0 <= self.retry <= 20:
            raise ValueError("retry should be from 0 to 20")
        return self


class NavigateStep(BaseStep):
    """Open an address."""

    type: Literal["navigate"] = Field(description="`navigate`.")
    config: NavigateConfig = Field(description="What to do.")


class ClickStep(BaseStep):
    """Click."""

    type: Literal["click"] = Field(description="`click`.")
    config: ClickConfig = Field(description="What to do.")


class TypeStep(BaseStep):
    """Fill a field."""

    type: Literal["type"] = Field(description="`type`.")
    config: TypeConfig = Field(description="What to do.")


class ExtractStep(BaseStep):
    """Take data from the page."""

    type: Literal["extract"] = Field(description="`extract`.")
    config: ExtractConfig = Field(description="What to do.")


class WaitStep(BaseStep):
    """Wait."""

    type: Literal["wait"] = Field(description="`wait`.")
    config: WaitConfig = Field(description="What to do.")


class ScreenshotStep(BaseStep):
    """Take a picture."""

    type: Literal["screenshot"] = Field(description="`screenshot`.")
    config: ScreenshotConfig = Field(ScreenshotConfig(), description="What to do.")


class SelectStep(BaseStep):
    """Choose options."""

    type: Literal["select"] = Field(description="`select`.")
    config: SelectConfig = Field(description="What to do.")


class CheckStep(BaseStep):
    """Tick a box."""

    type: Literal["check"] = Field(description="`check`.")
    config: CheckConfig = Field(description="What to do.")


class PressStep(BaseStep):
    """Press a key."""

    type: Literal["press"] = Field(description="`press`.")
    config: PressConfig = Field(description="What to do.")


class HoverStep(BaseStep):
    """Move the mouse over an element."""

    type: Literal["hover"] = Field(description="`hover`.")
    config: HoverConfig = Field(description="What to do.")


class ScrollStep(BaseStep):
    """Scroll."""

    type: Literal["scroll"] = Field(description="`scroll`.")
    config: ScrollConfig = Field(ScrollConfig(), description="What to do.")


class UploadStep(BaseStep):
    """Put files into a field."""

    type: Literal["upload"] = Field(description="`upload`.")
    config: UploadConfig = Field(description="What to do.")


class DownloadStep(BaseStep):
    """Store a download."""

    type: Literal["download"] = Field(description="`download`.")
    config: DownloadConfig = Field(description="What to do.")


class AssertStep(BaseStep):
    """Check the page."""

    type: Literal["assert"] = Field(description="`assert`.")
    config: AssertConfig = Field(description="What to do.")


class EvaluateStep(BaseStep):
    """Run a script in the page."""

    type: Literal["evaluate"] = Field(description="`evaluate`.")
    config: EvaluateConfig = Field(description="What to do.")


class ClosePopupStep(BaseStep):
    """Close a window or dialog."""

    type: Literal["close_popup"] = Field(description="`close_popup`.")
    config: ClosePopupConfig = Field(ClosePopupConfig(), description="What to do.")


def _without_tag(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Let faults of a step be found under ``config.selector``, not under ``click.config.selector``."""
    try:
        return handler(value)
    except ValidationError as error:
        raise ValidationError.from_exception_data("step", [_untagged(item) for item in error.errors()]) from None


def _untagged(item: Any) -> InitErrorDetails:
    kind, loc, message = item["type"], item["loc"], item["msg"]
    if loc and loc[0] in STEP_TYPES:
        loc = loc[1:]
    if kind == "union_tag_invalid":
        tag = str(item["ctx"]["tag"])[:100]
        kind, loc = "unknown_step_type", ("type",)
        message = f"there is no step type {tag!r}; known are: {', '.join(STEP_TYPES)}"
    elif kind == "union_tag_not_found":
        kind, loc, message = "missing", ("type",), f"is missing; known are: {', '.join(STEP_TYPES)}"
    fault = PydanticCustomError(kind, "{message}", {"message": message})
    return InitErrorDetails(type=fault, loc=loc, input=item["input"])


STEP_TYPES = (
    "navigate",
    "click",
    "type",
    "extract",
    "wait",
    "screenshot",
    "select",
    "check",
    "press",
    "hover",
    "scroll",
    "upload",
    "download",
    "assert",
    "evaluate",
    "close_popup",
)
Step = Annotated[
    NavigateStep
    | ClickStep
    | TypeStep
    | ExtractStep
    | WaitStep
    | ScreenshotStep
    | SelectStep
    | CheckStep
    | PressStep
    | HoverStep
    | ScrollStep
    | UploadStep
    | DownloadStep
    | AssertStep
    | EvaluateStep
    | ClosePopupStep,
    Field(discriminator="type"),
    WrapValidator(_without_tag),
]
