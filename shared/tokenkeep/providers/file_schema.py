"""The form of a provider's data file as JSON Schema (2020-12), for editors and for those who check files themselves."""

from collections.abc import Mapping
from typing import Any

from tokenkeep.domain.account import AuthType
from tokenkeep.providers.entry_file import HEAD_FIELDS, file_fields
from tokenkeep.providers.entry_parts import (
    ANSWER_FIELDS,
    CREDENTIAL_FIELDS,
    PLACEHOLDER_FIELDS,
    PLACEHOLDER_NAME,
    VERIFY_FIELDS,
)
from tokenkeep.providers.field_kinds import Field
from tokenkeep.providers.hook_files import (
    CHALLENGE_FIELDS,
    EVENT_FIELDS,
    HOOK_FIELDS,
    PROPERTY_FIELDS,
    SIGNATURE_FIELDS,
)

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def provider_file_schema() -> dict[str, Any]:
    """The schema of `slug.yaml`, whatever its auth type."""
    types = [
        {
            "if": {"properties": {"auth_type": {"const": auth_type.value}}, "required": ["auth_type"]},
            "then": _object({**_shown(file_fields(auth_type)), **_parts()}),
        }
        for auth_type in AuthType
    ]
    return {
        "$schema": _DIALECT,
        "title": "A provider of tokenkeep's catalogue",
        "type": "object",
        "properties": _shown(HEAD_FIELDS),
        # An entry that extends another one says only what differs.
        "anyOf": [{"required": ["name", "auth_type"]}, {"required": ["extends"]}],
        "allOf": types,
    }


def _parts() -> dict[str, Any]:
    answer = {
        **_object(_shown(ANSWER_FIELDS)),
        "required": ["means"],
        "anyOf": [{"required": ["code"]}, {"required": ["text"]}],
    }
    return {
        "placeholders": _named({**_object(_shown(PLACEHOLDER_FIELDS)), "required": ["title", "pattern"]}),
        "credentials": _named({**_object(_shown(CREDENTIAL_FIELDS)), "required": ["title"]}),
        "answers": {"type": "array", "items": answer},
        "verify": {**_object(_shown(VERIFY_FIELDS)), "required": ["url"]},
        "hooks": _hooks(),
    }


def _hooks() -> dict[str, Any]:
    held = {**_object(_shown(PROPERTY_FIELDS)), "required": ["name", "at"]}
    event = {**_object({**_shown(EVENT_FIELDS), "property": held}), "required": ["means"]}
    parts = {
        "signature": {**_object(_shown(SIGNATURE_FIELDS)), "required": ["header"]},
        "challenge": {**_object(_shown(CHALLENGE_FIELDS)), "required": ["type", "value", "answer"]},
        "events": {"type": "object", "additionalProperties": event},
    }
    return {**_object({**_shown(HOOK_FIELDS), **parts}), "required": ["scheme"]}


def _shown(fields: Mapping[str, Field]) -> dict[str, Any]:
    return {name: kind.schema() for name, kind in fields.items()}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _named(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": PLACEHOLDER_NAME.schema(), "additionalProperties": dict(item)}
