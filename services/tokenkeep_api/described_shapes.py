"""How the OpenAPI document of the API is read by what shows it to people."""

from collections.abc import Iterator, Mapping
from typing import Any

from tokenkeep_api.rendering import JSON_TYPE
from tokenkeep_api.request_bodies import NDJSON

METHODS = ("get", "post", "put", "patch", "delete")


def schemas(title: str, content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The schemas of a body or an answer, each with a title that says whether it is of the whole or of each line."""
    for media_type, title_of in ((JSON_TYPE, title), (NDJSON, f"each line of the {title}")):
        if media_type in content:
            yield title_of, content[media_type]["schema"]


def shapes(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The objects that a schema allows."""
    schema = resolved(document, schema)
    if "items" in schema:
        yield from shapes(document, schema["items"])
    elif choices := schema.get("oneOf", schema.get("anyOf")):
        for choice in choices:
            yield from shapes(document, choice)
    else:
        yield schema


def resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself, where it is a reference to one."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def kind_of(schema: Mapping[str, Any]) -> str:
    """A schema's type in a few words."""
    if choices := schema.get("anyOf", schema.get("oneOf")):
        return " or ".join(dict.fromkeys(kind_of(choice) for choice in choices))
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    return str(schema.get("format") or schema.get("type", "any"))
