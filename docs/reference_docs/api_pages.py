"""docs/reference/api/, from the OpenAPI document: a page for each tag, and an index of all calls."""

from collections.abc import Iterator, Mapping
from typing import Any

from reference_docs.markdown import anchor, table
from reference_docs.openapi import openapi_document
from tokenkeep.domain.events import EventType
from tokenkeep_api.described_shapes import METHODS, kind_of, resolved, schemas, shapes

Document = Mapping[str, Any]
Operation = Mapping[str, Any]

_HEAD = """# The HTTP API

{about}

[Keys, scopes, limits, the audit trail](../api-access.md) · [what a refusal says, and what to do then](../problems.md) · [events](../events.md)

The API serves its own description: `/openapi.json` (OpenAPI 3.1) for programs, `/docs` for people. These pages are made of the same.

"""
_DEEPEST = 3


def api_pages() -> dict[str, str]:
    """The pages by their names."""
    document = openapi_document()
    by_tag: dict[str, list[tuple[str, str, Operation]]] = {}
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                by_tag.setdefault(operations[method]["tags"][0], []).append((method.upper(), path, operations[method]))
    pages = {_file(tag): _page(document, tag, calls) for tag, calls in by_tag.items()}
    return {"index.md": _index(document, by_tag), **pages}


def _index(document: Document, by_tag: Mapping[str, list[tuple[str, str, Operation]]]) -> str:
    sections = [
        f"## [{_title(tag)}]({_file(tag)})\n\n"
        + table(
            ("call", "does"),
            (
                (f"[`{method} {path}`]({_file(tag)}#{anchor(f'{method} {path}')})", _first_sentence(operation))
                for method, path, operation in calls
            ),
        )
        for tag, calls in by_tag.items()
    ]
    return _HEAD.format(about=document["info"]["description"]) + "".join(sections)


def _page(document: Document, tag: str, calls: list[tuple[str, str, Operation]]) -> str:
    return f"# {_title(tag)}\n\n" + "".join(piece for call in calls for piece in _call(document, *call))


def _call(document: Document, method: str, path: str, operation: Operation) -> Iterator[str]:
    yield f"## `{method} {path}`\n\n{operation.get('description', '').strip()}\n\n"
    scopes = [scope for scheme in operation["security"] for names in scheme.values() for scope in names]
    yield f"Scope: {' and '.join(f'`{scope}`' for scope in scopes)}\n\n" if scopes else "Takes no API key.\n\n"
    yield table(
        ("parameter", "in", "type", "meaning"),
        (
            (_name(one["name"], required=one.get("required")), one["in"], _kind(document, one["schema"]), _about(one))
            for one in operation.get("parameters", ())
        ),
    )
    if body := operation.get("requestBody"):
        for title, schema in schemas("body", body["content"]):
            yield from _members(document, title, schema, sent=True)
    for status, response in operation["responses"].items():
        for title, schema in schemas(f"answer {status}", response.get("content", {})):
            yield from _members(document, title, schema)
    refusals = [
        status for status, response in operation["responses"].items() if "/responses/" in response.get("$ref", "")
    ]
    yield f"Refusals: {', '.join(f'[{status}](../problems.md#{status})' for status in sorted(refusals))}\n\n"


def _members(document: Document, title: str, schema: Mapping[str, Any], *, sent: bool = False) -> Iterator[str]:
    for shape in shapes(document, schema):
        properties = dict(shape.get("properties", {}))
        if "data" in properties:  # the envelope says nothing that its content does not
            yield from _members(document, title, properties["data"], sent=sent)
            continue
        if rows := table((title, "type", "meaning"), _rows(document, shape, sent=sent)):
            yield f"{_about(shape)}\n\n{rows}"


def _rows(
    document: Document, shape: Mapping[str, Any], prefix: str = "", deep: int = 1, *, sent: bool
) -> Iterator[tuple[str, ...]]:
    """A member a row; the members of an object below it, by dotted names, as deep as a reader follows.

    What must be there is said of what is sent; an answer has all its members.
    """
    for name, of in shape.get("properties", {}).items():
        within = _object(document, of)
        dotted = f"{prefix}{name}"
        yield (
            _name(dotted, required=sent and name in shape.get("required", ())),
            _kind(document, of),
            _about(of, within or resolved(document, of)),
        )
        if within is not None and deep < _DEEPEST:
            yield from _rows(document, within, f"{dotted}.", deep + 1, sent=sent)


def _object(document: Document, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The one object that a schema allows besides null."""
    choices = schema.get("anyOf", schema.get("oneOf", [schema]))
    found = [one for one in (resolved(document, choice) for choice in choices) if "properties" in one]
    return found[0] if len(found) == 1 and len(choices) - len(found) <= 1 else None


def _kind(document: Document, schema: Mapping[str, Any]) -> str:
    """The type without the names of our models, which say nothing to a reader."""
    choices = schema.get("anyOf", schema.get("oneOf"))
    if choices is not None:
        return " or ".join(dict.fromkeys(_kind(document, choice) for choice in choices))
    whole = resolved(document, schema)
    if whole.get("type") == "array" and "items" in whole:
        return f"array of {_kind(document, whole['items'])}"
    if set(EventType) <= set(whole.get("enum", ())):
        return "[type of event](../event-types.md)"
    return kind_of(whole)


def _name(name: str, *, required: object) -> str:
    return f"`{name}` (required)" if required else f"`{name}`"


def _about(*described: Mapping[str, Any]) -> str:
    return next((one["description"] for one in described if "description" in one), "")


def _first_sentence(operation: Operation) -> str:
    return str(operation.get("description", "")).partition("\n\n")[0].split(". ")[0].rstrip(".:")


def _title(tag: str) -> str:
    return (tag[:1].upper() + tag[1:]).replace("Api", "API")


def _file(tag: str) -> str:
    return f"{tag.replace(' ', '-')}.md"
