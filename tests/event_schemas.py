"""The published schemas of events, and whether what was really emitted fits them."""

from collections import Counter
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator, FormatChecker
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tokenkeep.adapters.postgres.address import asyncpg_url
from tokenkeep.adapters.postgres.event_log import event_from_row
from tokenkeep.domain.events import cloudevent
from tokenkeep.domain.secret import Secret

ASYNCAPI = Path(__file__).parents[1] / "deploy" / "asyncapi.yaml"
ENOUGH = 20


@cache
def asyncapi() -> dict[str, Any]:
    """The description as it is published."""
    document: dict[str, Any] = yaml.safe_load(ASYNCAPI.read_text(encoding="utf-8"))
    return document


def schema_names(channel: str = "stream") -> dict[str, str]:
    """The schema of each type of event that a channel is said to carry."""
    described = asyncapi()["components"]["messages"]
    messages = [described[name] for name in asyncapi()["channels"][channel]["messages"]]
    return {one["name"]: one["payload"]["$ref"].rpartition("/")[2] for one in messages}


@cache
def _validator(event_type: str) -> Draft7Validator:
    """Stricter than what is published: consumers are to ignore members that they do not know, but none may come unknown to us."""
    document = deepcopy(asyncapi())
    for name in ("cloudEvent", "accountData", "sourceData", "webhookData"):
        document["components"]["schemas"][name]["additionalProperties"] = False
    root = {"$ref": f"#/components/schemas/{schema_names()[event_type]}", "components": document["components"]}
    return Draft7Validator(root, format_checker=FormatChecker())


def faults(document: dict[str, Any]) -> list[str]:
    """What of an event does not fit the schema of its type."""
    return [
        f"{document['type']}: {error.json_path}: {error.message}"
        for error in _validator(document["type"]).iter_errors(document)
    ]


async def check_emitted(database_url: str) -> None:
    """Hold the events in a database to their schemas. Of those that look alike, a few are looked at."""
    engine = create_async_engine(asyncpg_url(Secret(database_url)))
    alike: Counter[tuple[object, ...]] = Counter()
    wrong: list[str] = []
    async with engine.connect() as connection:
        for row in (await connection.execute(text("SELECT * FROM events ORDER BY position"))).mappings():
            document = cloudevent(event_from_row(row))
            about = document["data"]
            look = (document["type"], *document, *about, about.get("state"), about.get("reason"))
            alike[look] += 1
            if alike[look] <= ENOUGH:
                wrong += faults(document)
    await engine.dispose()
    assert wrong == []
