"""What a ghl_action is told, and what it answers.

The fields of each action are those of the API's own description (CreateContactDto, UpdateContactDto, CreateDto of
opportunities, SendMessageBodyDto; github.com/GoHighLevel/highlevel-api-docs), as far as they are plain values.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from taskengine.handlers.base import HandlerConfig, HandlerOutput

Action = Literal["add_contact", "update_contact", "send_sms", "create_opportunity", "add_tag"]

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

_PERSON = ("first_name", "last_name", "name", "email", "phone")
_CONTACT = (
    *_PERSON,
    *("address1", "city", "state", "postal_code", "country", "website", "timezone", "source", "assigned_to", "dnd"),
    *("tags", "custom_fields"),
)
_TAKES: dict[str, frozenset[str]] = {
    "add_contact": frozenset((*_CONTACT, "gender", "company_name", "on_duplicate")),
    "update_contact": frozenset((*_CONTACT, "contact_id")),
    "send_sms": frozenset(("contact_id", "message", "from_number", "to_number")),
    "create_opportunity": frozenset(
        (
            *("contact_id", "pipeline_id", "pipeline_stage_id", "name", "status", "monetary_value", "assigned_to"),
            *("custom_fields", "on_duplicate"),
        )
    ),
    "add_tag": frozenset(("contact_id", "tags")),
}
_NEEDS: dict[str, frozenset[str]] = {
    "add_contact": frozenset(),
    "update_contact": frozenset(("contact_id",)),
    "send_sms": frozenset(("contact_id", "message")),
    "create_opportunity": frozenset(("contact_id", "pipeline_id", "name")),
    "add_tag": frozenset(("contact_id", "tags")),
}
_OF_ACTIONS = tuple(sorted(frozenset().union(*_TAKES.values())))


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address")
    return text


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError("must be an id: letters and digits")  # it becomes a part of the URL's path
    return text


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _custom_fields(value: Any) -> Any:
    """A plain object becomes the list that the API takes, each field named by its key."""
    if isinstance(value, dict):
        return [{"key": name, "field_value": item} for name, item in value.items()]
    return value


Text = Annotated[str, Field(min_length=1, max_length=2000)]
Id = Annotated[str, AfterValidator(_id)]
Tags = Annotated[list[Text], Field(min_length=1, max_length=500), BeforeValidator(_listed, json_schema_input_type=Any)]


class CustomField(HandlerConfig):
    """A custom field's new value; the field is named by its id, its key, or both."""

    id: Text | None = Field(None, description="Id of the custom field.")
    named: Text | None = Field(
        None, validation_alias=AliasChoices("key"), description="Key of the custom field, such as `company`."
    )
    value: JsonValue = Field(
        validation_alias=AliasChoices("field_value", "fieldValue", "value"),
        description="The value: text, a number, a list of texts for fields with several options.",
    )

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if self.id is None and self.named is None:
            raise ValueError("needs id or key")
        return self

    def sent(self) -> dict[str, JsonValue]:
        """As the API takes it."""
        names: dict[str, JsonValue] = {"id": self.id, "key": self.named}
        return {name: text for name, text in names.items() if text is not None} | {"field_value": self.value}


CustomFields = Annotated[
    list[CustomField],
    Field(min_length=1, max_length=500),
    BeforeValidator(_custom_fields, json_schema_input_type=list[CustomField] | dict[str, JsonValue]),
]


class GhlActionConfig(HandlerConfig):
    """The action, its fields, and whose account it is done in. A field that the action does not take is refused."""

    model_config = ConfigDict(validate_default=True)

    ghl_action: Action = Field(
        description="What to do: add_contact, update_contact, send_sms, create_opportunity or add_tag."
    )
    api_key: Annotated[SecretStr, Field(min_length=1)] | None = Field(
        None,
        description="Private integration token or access token of the sub-account; by default the secret GHL_API_KEY, "
        "else the worker's environment variable of that name.",
    )
    location_id: Id | None = Field(
        None, description="The sub-account; by default the secret GHL_LOCATION_ID, else the environment variable."
    )
    contact_id: Id | None = Field(None, description="The contact; needed by every action but add_contact.")
    first_name: Text | None = Field(None, description="First name of the contact.")
    last_name: Text | None = Field(None, description="Last name of the contact.")
    name: Text | None = Field(None, description="Full name of the contact; of an opportunity, its title (needed).")
    email: Annotated[str, AfterValidator(_email)] | None = Field(None, description="The contact's e-mail address.")
    phone: Text | None = Field(None, description="The contact's phone number, best as +15551234567.")
    gender: Text | None = Field(None, description="The contact's gender; add_contact only.")
    address1: Text | None = Field(None, description="Street address.")
    city: Text | None = Field(None, description="City.")
    state: Text | None = Field(None, description="State or region.")
    postal_code: Text | None = Field(None, description="Postal code.")
    country: Text | None = Field(None, description="Country, as two letters.")
    website: Text | None = Field(None, description="Website.")
    timezone: Text | None = Field(None, description="Time zone, such as America/Chicago.")
    company_name: Text | None = Field(None, description="Company; add_contact only.")
    source: Text | None = Field(None, description="Where the contact came from.")
    assigned_to: Id | None = Field(None, description="Id of the user whom the contact or opportunity is assigned to.")
    dnd: bool | None = Field(None, description="Do not disturb.")
    tags: Tags | None = Field(
        None,
        description="Tags, or a single one. add_tag adds them; update_contact replaces all tags by them.",
    )
    custom_fields: CustomFields | None = Field(
        None,
        description='Custom fields: a plain object by key (`{"company": "Acme Inc"}`), or a list of '
        "`{id, key, field_value}`.",
    )
    message: Annotated[str, Field(min_length=1, max_length=1600)] | None = Field(
        None, description="Text of the SMS; send_sms needs it."
    )
    from_number: Text | None = Field(None, description="Number to send the SMS from; by default the sub-account's own.")
    to_number: Text | None = Field(None, description="Number to send the SMS to; by default the contact's own.")
    pipeline_id: Id | None = Field(None, description="Pipeline of the opportunity; create_opportunity needs it.")
    pipeline_stage_id: Id | None = Field(None, description="Stage of the pipeline; by default its first one.")
    status: Literal["open", "won", "lost", "abandoned", "all"] | None = Field(
        None, description="Status of the opportunity; open if not given."
    )
    monetary_value: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="Value of the opportunity."
    )
    on_duplicate: Literal["fail", "use"] | None = Field(
        None,
        description="When the sub-account has such a contact or opportunity already and allows no second one: `fail` "
        "(by default), or `use` its id as the result, unchanged.",
    )
    resend: bool = Field(
        False,
        description="When an earlier attempt's answer was lost and nobody can tell whether it was done: do it again "
        "instead of failing with `maybe_sent`.",
    )
    timeout: int = Field(30_000, ge=1, le=600_000, description="Milliseconds for each call of the API.")

    @field_validator(*_OF_ACTIONS)
    @classmethod
    def _fits_the_action(cls, value: Any, info: ValidationInfo) -> Any:
        action, name = info.data.get("ghl_action"), str(info.field_name)
        if action is None:  # it has a fault of its own, or is a template
            return value
        spelled = cls.model_fields[name].alias
        if value is None and name in _NEEDS[action]:
            raise ValueError(f"{action} needs {spelled}")
        if value is not None and name not in _TAKES[action]:
            raise ValueError(f"{action} does not take {spelled}")
        return value

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.ghl_action == "add_contact" and all(getattr(self, name) is None for name in _PERSON):
            raise ValueError("add_contact needs one of firstName, lastName, name, email, phone")
        if self.ghl_action == "update_contact" and not self.contact_fields():
            raise ValueError("update_contact needs a field to update")
        return self

    def contact_fields(self) -> dict[str, JsonValue]:
        """The given fields of a contact, as the API takes them."""
        return self.sent(*_CONTACT, "gender", "company_name")

    def sent(self, *names: str) -> dict[str, JsonValue]:
        """Those of these fields that were given, under the API's names, which are this type's camelCase ones."""
        fields = type(self).model_fields
        found = {str(fields[name].alias): getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.custom_fields is not None and "custom_fields" in names:
            found["customFields"] = [item.sent() for item in self.custom_fields]
        return found


class GhlRates(HandlerOutput):
    """What the API said of its limits in its last answer; null where it said nothing."""

    remaining: int | None = Field(description="Calls left in the short interval (100 in 10 seconds).")
    daily_remaining: int | None = Field(description="Calls left today (of 200,000).")


class GhlActionOutput(HandlerOutput):
    """What was done."""

    ghl_action: Action = Field(description="The action.")
    id: str | None = Field(description="Id of the contact, opportunity or message that it made or changed.")
    contact_id: str | None = Field(description="Id of the contact.")
    conversation_id: str | None = Field(description="Id of the conversation that the SMS is part of.")
    found: bool = Field(
        description="An earlier attempt had done it and its answer was lost: it was found, and not done again."
    )
    existed: bool = Field(description="The contact or opportunity existed already, and was left as it is.")
    tags: list[str] | None = Field(description="All tags of the contact, as the API answers add_tag.")
    response: JsonValue = Field(description="The API's answer; null when it is too large or came from a search.")
    rates: GhlRates = Field(description="What is left of the API's limits.")
