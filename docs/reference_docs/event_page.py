"""docs/reference/event-types.md, from deploy/asyncapi.yaml."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from reference_docs.markdown import anchor, table

_ASYNCAPI = Path(__file__).parents[2] / "deploy" / "asyncapi.yaml"
_HEAD = """# Types of events

What each event carries. How they are told, in what order, and what repetition means stands in [events](events.md); what becomes of those that services send, in [incoming events](incoming-events.md). For programs: [asyncapi.yaml](../../deploy/asyncapi.yaml), and a JSON Schema for each type in `deploy/schemas`.

Every event is a [CloudEvent 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md). The members around `data` are the same for all that go one way; below, each type has those of its `data`.

"""
_WAYS = {"stream": "What tokenkeep tells", "inbox": "What services may send"}


def event_page() -> str:
    """The page."""
    document = yaml.safe_load(_ASYNCAPI.read_text(encoding="utf-8"))
    return _HEAD + "".join(_way(document, channel, title) for channel, title in _WAYS.items())


def _way(document: Mapping[str, Any], channel: str, title: str) -> str:
    messages = [_found(document, one) for one in document["channels"][channel]["messages"].values()]
    wholes = [_whole(document, one["payload"]) for one in messages]
    listed = ((f"[`{one['name']}`](#{anchor(one['name'])})", one["summary"]) for one in messages)
    around = {name: of for name, of in wholes[0]["properties"].items() if name not in {"data", "type"}}
    sections = (
        f"### `{message['name']}`\n\n{message['summary']}\n\n{table(('in data', 'type', 'meaning'), _rows(whole['properties']['data']))}"
        for message, whole in zip(messages, wholes, strict=True)
    )
    return (
        f"## {title}\n\n{table(('type', 'says'), listed)}"
        f"{table(('around data', 'type', 'meaning'), _rows({**wholes[0], 'properties': around}))}{''.join(sections)}"
    )


def _rows(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    required = schema["required"]
    for name, of in schema["properties"].items():
        if of is False:  # JSON Schema's way of saying that it is never there
            continue
        label = f"`{name}` (required)" if name in required else f"`{name}`"
        yield label, _kind(of), str(of.get("description", ""))


def _whole(document: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with its references followed and its parts put together; a later part says it more exactly."""
    found = _found(document, part)
    whole: dict[str, Any] = {}
    for one in (*found.get("allOf", ()), found):
        said = _whole(document, one) if one is not found else {**one}
        said.pop("allOf", None)
        properties = {**whole.get("properties", {})}
        for name, of in said.get("properties", {}).items():
            properties[name] = of and _joined(document, properties.get(name, {}), of)
        required = [*whole.get("required", ()), *said.get("required", ())]
        whole |= {**said, "properties": properties, "required": required}
    return whole


def _joined(document: Mapping[str, Any], former: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    return _whole(document, {"allOf": [former, later]} if former else later)


def _found(document: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = part.get("$ref")
    if reference is None:
        return part
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return _found(document, found)


def _kind(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    kind = schema.get("format", schema.get("type", "text"))
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
