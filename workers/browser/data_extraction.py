"""data_extraction: opens pages like browser_automation, and ends in data."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

import orjson
from pydantic import Field, JsonValue, TypeAdapter, model_validator

from taskengine.domain.outcome import Outcome, Succeeded
from taskengine.handlers.base import Context, Handler, HandlerOutput
from workers.browser.automation_config import BrowserConfig
from workers.browser.extract_config import ExtractConfig, Selector
from workers.browser.step_config import Step, WebAddress
from workers.browser.step_result import RefusedRequest, StepResult, StoredPart, refused, stored

if TYPE_CHECKING:
    from workers.browser.extract_run import ExtractResult
    from workers.browser.session import Session

FILE_BYTES = 200_000
"""Larger data is stored as a file too."""
INLINE_BYTES = 512 * 1024
"""Larger data is stored as a file only."""
_STEP: TypeAdapter[Any] = TypeAdapter(Step)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class DataExtractionConfig(BrowserConfig, ExtractConfig):
    """Either ``url`` and what to extract there, or ``automationSteps`` that lead to it."""

    url: WebAddress | None = Field(None, description="Page to extract from.", examples=["https://example.com/products"])
    wait_for: Selector | None = Field(
        None, description="CSS selector of an element to wait for before extracting, where the page loads it late."
    )
    automation_steps: list[Step] = Field(
        [],
        max_length=1000,
        description="Steps as in browser_automation; the data is that of its extract steps, or what the fields of this "
        "config name on the page where they end.",
    )
    format: Literal["json", "csv"] = Field("json", description="`csv` stores the records as a CSV file too.")

    @model_validator(mode="after")
    def _something_to_take(self) -> Self:
        """In place of the step's own check: here the steps may say what to take."""
        if (self.url is None) == (not self.automation_steps):
            raise ValueError("give either url or automationSteps")
        if self.wait_for is not None and self.url is None:
            raise ValueError("waitFor goes with url; in automationSteps use a step of type wait")
        extracts = any(step.type == "extract" for step in self.automation_steps)
        if not (extracts or self.instruction or self.data_schema or self.names_parts):
            raise ValueError(
                "says nothing to extract; give fields, records, table, mainText, structured, links, instruction, "
                "schema or a step of type extract"
            )
        return self

    def steps(self) -> list[Any]:
        """The steps in full: those given, or the ones that the short form stands for."""
        steps: list[Any] = list(self.automation_steps)
        if self.url is not None:
            steps.append(_STEP.validate_python({"type": "navigate", "config": {"url": self.url}}))
        if self.wait_for is not None:
            steps.append(_STEP.validate_python({"type": "wait", "config": {"selector": self.wait_for}}))
        if self.instruction or self.names_parts or not any(step.type == "extract" for step in steps):
            taken = {name: getattr(self, name) for name in ExtractConfig.model_fields}
            step: dict[str, Any] = {"type": "extract", "config": ExtractConfig.model_construct(**taken)}
            steps.append(_STEP.validate_python(step))
        return steps


class DataExtractionOutput(HandlerOutput):
    """The data, and where it came from."""

    data: JsonValue = Field(description="The data; null when it is so large that only the file holds it.")
    records: int = Field(description="How many records, rows and links it holds; 1 for single values alone.")
    pages: int = Field(description="How many pages were read.")
    complete: bool = Field(description="False when a limit ended it: pages, records, or the size of a page.")
    url: str = Field(description="Address of the page where the extraction began.")
    source: dict[str, JsonValue] = Field(
        description="`how` it was found where to look (`config`, `match`, `replay`, `llm`) and the `plan`; of several "
        "extract steps, this by their names."
    )
    file: StoredPart | None = Field(description="The data as a JSON file, if it is large.")
    csv: StoredPart | None = Field(description="The records as a CSV file, if asked for.")
    steps: list[StepResult] = Field(description="Each step as it went.")
    refusals: list[RefusedRequest] = Field(description="Requests of the pages that were not let out.")


class DataExtraction(Handler[DataExtractionConfig]):
    """Extracts data from pages."""

    type_name = "data_extraction"
    queue = "browser"
    description = (
        "Extracts data from web pages by selectors, tables, JSON Schema or plain words, over several pages if need be."
    )
    timeout_seconds = 600
    Config = DataExtractionConfig
    Output = DataExtractionOutput
    example = MappingProxyType(
        {"url": "https://example.com/products", "instruction": "Extract all product names and prices from the page"}
    )

    def run(self, ctx: Context, config: DataExtractionConfig) -> Outcome:
        """Run the steps in a fresh session, and check and store their data."""
        # Playwright and the libraries that read pages come with them; only a process that extracts should load these.
        from workers.browser.extract_run import check_schema  # noqa: PLC0415 - see above
        from workers.browser.session import open_session  # noqa: PLC0415 - see above
        from workers.browser.steps import StepsOptions, run_steps  # noqa: PLC0415 - see above

        found: dict[str, ExtractResult] = {}
        options = StepsOptions(
            timeout_ms=config.step_timeout, screenshots=config.screenshots, on_extract=found.__setitem__
        )
        with open_session(ctx, config.session_options()) as session:
            succeeded = False
            try:
                steps = run_steps(session, config.steps(), options)
                data = _joined(found)
                check_schema(data, config)
                succeeded = True
            finally:
                session.finish(succeeded)
            return Succeeded(_output(session, config, steps, found, data))


def _joined(found: dict[str, ExtractResult]) -> JsonValue:
    """The data of the only extract step, or that of each by its name."""
    data: dict[str, JsonValue] = {name: one.data for name, one in found.items()}
    return next(iter(data.values())) if len(data) == 1 else data


def _output(
    session: Session,
    config: DataExtractionConfig,
    steps: list[StepResult],
    found: dict[str, ExtractResult],
    data: JsonValue,
) -> DataExtractionOutput:
    results = list(found.values())
    text = orjson.dumps(data)
    large = len(text) > FILE_BYTES
    sources: dict[str, JsonValue] = {name: one.source for name, one in found.items()}
    return DataExtractionOutput(
        data=data if len(text) <= INLINE_BYTES else None,
        records=sum(one.records for one in results),
        pages=sum(one.pages for one in results),
        complete=all(one.complete for one in results),
        url=results[0].url if results else session.page.url,
        source=results[0].source if len(results) == 1 else sources,
        file=stored(session.ctx.artifact("data.json", text, "application/json")) if large else None,
        csv=stored(session.ctx.artifact("data.csv", csv_of(data), "text/csv")) if config.format == "csv" else None,
        steps=steps,
        refusals=[refused(item) for item in session.refusals],
    )


def csv_of(data: JsonValue) -> bytes:
    """The records as CSV: those of the data, or of the one list in it, or else the data as one row."""
    records = _records(data)
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([_cell(name) for name in names])
    writer.writerows([_cell(record.get(name)) for name in names] for record in records)
    return text.getvalue().encode("utf-8-sig")


def _records(data: JsonValue) -> list[dict[str, Any]]:
    if isinstance(data, list):
        return [item if isinstance(item, dict) else {"value": item} for item in data]
    if not isinstance(data, dict):
        return [{"value": data}]
    lists = [
        value for value in data.values() if isinstance(value, list) and any(isinstance(one, dict) for one in value)
    ]
    return _records(lists[0]) if len(lists) == 1 else [data]


def _cell(value: JsonValue | Sequence[Any]) -> str | int | float:
    """A cell that no spreadsheet takes for a formula: the page's owner wrote it, not ours."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return orjson.dumps(value).decode()
    if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
