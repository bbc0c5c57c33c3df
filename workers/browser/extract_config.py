"""What to take from a page: the config of the ``extract`` step, which ``data_extraction`` takes too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, JsonValue, StringConstraints, model_validator

from taskengine.domain.wire import JsonObject
from taskengine.handlers.base import HandlerConfig

Selector = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
ValueType = Literal["text", "number", "integer", "boolean", "url", "date"]
FieldName = Annotated[str, StringConstraints(min_length=1, max_length=200)]

_SELECTOR = "CSS selector, or XPath when it starts with `//`, `(` or `xpath=`"
_PARTS = ("fields", "records", "table", "main_text", "structured", "links", "instruction", "data_schema")


class LeafField(HandlerConfig):
    """One value, or a list of them."""

    selector: Selector | None = Field(
        None, description=f"{_SELECTOR}; inside of records it starts at the record, and none means the record itself."
    )
    attribute: str | None = Field(
        None, min_length=1, max_length=100, description="Take this attribute (`href`, `data-id`) instead of the text."
    )
    all: bool = Field(False, description="Take every match as a list; otherwise the first one.")
    html: bool = Field(False, description="Take the inner HTML of what is visible, without scripts and styles.")
    required: bool = Field(False, description="Fail when nothing is found; otherwise the value is null, or no record.")
    type: ValueType = Field(
        "text",
        description="What the text is read as: `number` and `integer` read the first number in it (`$1,299.00`), "
        "`boolean` yes and no, `url` makes it absolute, `date` gives RFC 3339.",
    )

    after: str | None = Field(
        None, min_length=1, max_length=300, description="Take only what follows these words in the text: `Weight:`."
    )
    source: str | None = Field(
        None,
        pattern=r"^(main_text(\.(title|author|date|text))?|json_ld:[^:]{1,300})$",
        description="Take it from elsewhere than an element: `main_text` (or `main_text.author`, `.date` …), or "
        "`json_ld:author.name`, the path in the page's JSON-LD. Not inside of records.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.source is not None and (self.selector or self.attribute or self.html or self.all):
            raise ValueError("source goes without selector, attribute, html and all")
        if self.html and (self.attribute is not None or self.type != "text"):
            raise ValueError("html goes with neither attribute nor type")
        return self


class FieldSpec(LeafField):
    """One value, a list of them, or with ``fields`` an object of such values."""

    fields: dict[FieldName, LeafField | Selector] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Take an object with these fields from each match, a list of objects with `all`.",
    )

    @model_validator(mode="after")
    def _object_or_value(self) -> Self:
        if self.fields is not None and (
            self.source or self.selector is None or self.attribute or self.html or self.type != "text"
        ):
            raise ValueError("fields needs a selector, and goes with neither attribute, html nor type")
        return self


Fields = Annotated[
    dict[FieldName, FieldSpec | Selector],
    Field(min_length=1, max_length=100, description="Name of each field, with its selector or all about it."),
]


class RecordsSpec(HandlerConfig):
    """A list of like things: cards, rows, entries."""

    selector: Selector = Field(description=f"{_SELECTOR} of each record.")
    fields: Fields = Field(description="Fields of a record; their selectors start at the record.")


class ColumnSpec(HandlerConfig):
    """One column of a table."""

    heading: str = Field(min_length=1, max_length=300, description="Its heading, as the page shows it.")
    type: ValueType = Field("text", description="What its cells are read as.")
    required: bool = Field(False, description="Fail when a row has nothing there.")


class TableSpec(HandlerConfig):
    """A table, its rows as objects. Rows that only hold headings are none."""

    selector: Selector | None = Field(None, description=f"{_SELECTOR} of the table.")
    caption: str | None = Field(
        None, min_length=1, max_length=300, description="Words of its caption, or of the heading before it."
    )
    headings: list[str] = Field(
        [], max_length=100, description="Words that stand in its heading row; capitals do not matter."
    )
    columns: dict[FieldName, ColumnSpec | str] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Columns to keep, as name: heading; by default all, named after their headings in snake_case.",
    )


class PaginationSpec(HandlerConfig):
    """How to come to the next page. It ends when there is none, or when it brings nothing new."""

    mode: Literal["next", "load_more", "scroll"] = Field(
        "next",
        description="`next` goes to another page, `load_more` presses a button that adds to this one, "
        "`scroll` scrolls to its end.",
    )
    selector: Selector | None = Field(
        None,
        validation_alias=AliasChoices("selector", "nextSelector", "next_selector"),
        description="CSS selector of the link or button; without one and without `text` the usual ones are tried.",
    )
    text: str | None = Field(None, min_length=1, max_length=200, description="Text of the link or button.")
    timeout: int = Field(5_000, ge=100, le=120_000, description="Milliseconds to wait for what the next page brings.")
    max_pages: int = Field(10, ge=1, le=1000, description="Read so many pages at most, the first one included.")


class ExtractConfig(HandlerConfig):
    """What to take from the page. One part alone is the data itself; several become one object."""

    fields: Fields | None = Field(None, description="Single values, by name.")
    records: RecordsSpec | None = Field(None, description="A list of like things, each with fields.")
    table: TableSpec | None = Field(None, description="The rows of a table.")
    pagination: PaginationSpec | None = Field(
        None, description="Go on to further pages; records, rows and links of all of them are joined."
    )
    data_schema: JsonObject | None = Field(
        None,
        validation_alias=AliasChoices("schema", "dataSchema", "data_schema"),
        serialization_alias="schema",
        description="JSON Schema that the data must meet. Alone it says what to look for too: the names of its "
        "properties are matched to headings, labels and structured data.",
    )
    instruction: str | None = Field(
        None,
        min_length=1,
        max_length=2000,
        description="What to take, in plain words: `Extract all product names and prices`.",
        examples=["Extract the page title and main content"],
    )
    main_text: bool = Field(False, description="Take the main text, with title, author and date.")
    structured: bool = Field(False, description="Take the structured data: JSON-LD, OpenGraph, microdata.")
    links: bool = Field(False, description="Take all links, with their texts.")
    frame: Selector | None = Field(None, description="CSS selector of the frame to look in.")
    max_records: int = Field(1000, ge=1, le=100_000, description="Take so many records, rows or links at most.")
    max_bytes: int = Field(
        5 * 2**20, ge=1, le=50 * 2**20, description="Largest size of the data as JSON; more fails the task."
    )

    @model_validator(mode="after")
    def _something_to_take(self) -> Self:
        if not any(getattr(self, part) for part in _PARTS):
            names = "fields, records, table, mainText, structured, links, instruction, schema"
            raise ValueError(f"says nothing to extract; give at least one of {names}")
        return self

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.instruction and (self.fields or self.records or self.table):
            raise ValueError("instruction goes without fields, records and table: it is resolved to them")
        if self.pagination and not (self.records or self.table or self.links or self.instruction or self.data_schema):
            raise ValueError("pagination needs a list to join: records, table, links, instruction or schema")
        return self

    @property
    def names_parts(self) -> bool:
        """Whether it says itself where to look, so that neither words nor a schema need be resolved."""
        return bool(self.fields or self.records or self.table or self.main_text or self.structured or self.links)


def full_fields(fields: Mapping[str, FieldSpec | LeafField | str]) -> dict[str, LeafField]:
    """Fields with the short form (a selector alone) written out."""
    return {name: FieldSpec(selector=spec) if isinstance(spec, str) else spec for name, spec in fields.items()}


def full_columns(columns: Mapping[str, ColumnSpec | str]) -> dict[str, ColumnSpec]:
    """Columns with the short form (a heading alone) written out."""
    return {name: ColumnSpec(heading=spec) if isinstance(spec, str) else spec for name, spec in columns.items()}


def plan_of(config: ExtractConfig) -> dict[str, JsonValue]:
    """The parts that say where to look, as JSON, to be kept for a replay."""
    return config.model_dump(mode="json", by_alias=True, exclude_defaults=True, include={*_PARTS[:6]})
