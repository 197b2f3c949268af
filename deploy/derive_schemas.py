"""Derives `deploy/schemas/` from `deploy/asyncapi.yaml`: one JSON Schema (draft-07) for each type of event, whole by itself."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parent
SCHEMAS = DEPLOY / "schemas"
_PREFIX = "#/components/schemas/"


def derived(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The schema of each message that is described, by the type of its event."""
    return {
        message["name"]: _whole(message, document["components"]["schemas"])
        for message in document["components"]["messages"].values()
    }


def _whole(message: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    root = message["payload"]["$ref"].removeprefix(_PREFIX)
    wanted, definitions = [root], dict[str, Any]()
    while wanted:
        name = wanted.pop()
        if name not in definitions:
            definitions[name] = _rooted(schemas[name], wanted)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": message["name"],
        "description": message["summary"],
        "allOf": [{"$ref": f"#/definitions/{root}"}],
        "definitions": dict(sorted(definitions.items())),
    }


def _rooted(part: Any, wanted: list[str]) -> Any:
    """A part of a schema with its references led to `definitions`; their names are added to those that are wanted."""
    if isinstance(part, list):
        return [_rooted(one, wanted) for one in part]
    if not isinstance(part, dict):
        return part
    if isinstance(reference := part.get("$ref"), str):
        name = reference.removeprefix(_PREFIX)
        wanted.append(name)
        return {"$ref": f"#/definitions/{name}"}
    return {name: _rooted(value, wanted) for name, value in part.items()}


def texts() -> dict[str, str]:
    """The files that there should be, by their names."""
    document = yaml.safe_load((DEPLOY / "asyncapi.yaml").read_text(encoding="utf-8"))
    return {
        f"{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in derived(document).items()
    }


def main() -> None:
    """Write the files, and remove those of types that are gone."""
    SCHEMAS.mkdir(exist_ok=True)
    wanted = texts()
    for path in SCHEMAS.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (SCHEMAS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
