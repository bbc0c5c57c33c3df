"""Bodies and answers of POST /v1/tasks/generate."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from taskengine.domain.wire import Wire, no_nul


class GenerateBody(Wire):
    """What is to be done, in words."""

    prompt: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000), AfterValidator(no_nul)
    ] = Field(description="The request, such as `Get all product names and prices from https://shop.example.com`.")
    url: Annotated[str, StringConstraints(max_length=8000, pattern=r"^https?://[^\s/]+\S*$")] | None = Field(
        None, description="Where the task begins; otherwise the prompt says it."
    )


class SuggestedTask(BaseModel):
    """A task that POST /v1/tasks takes as it stands."""

    name: str
    type: str
    config: dict[str, Any]


class Generated(BaseModel):
    """What the prompt was understood as. Nothing was stored or run."""

    navigation_goal: str = Field(description="What is to be done on the pages.")
    data_schema: dict[str, Any] | None = Field(
        description="JSON Schema of the data that is asked for; null if none is."
    )
    url: str | None = Field(description="Where to begin; null if nothing says it.")
    how: Literal["llm", "rules"] = Field(
        description="By the language model, or where none is set up by plain rules: they find the address in the "
        "prompt, and the names of what it asks for."
    )
    task: SuggestedTask
