"""The OpenAPI document of an API that is wired, and never asks its stores anything."""

import asyncio
import base64
from typing import Any

from tokenkeep.bootstrap import lay_foundation
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings
from tokenkeep_api.app import described_routers
from tokenkeep_api.description import describe
from tokenkeep_api.main import refresh_queue, wire

_NOWHERE = "127.0.0.1:1"


def openapi_document() -> dict[str, Any]:
    """The document that such an API serves at `/openapi.json`."""
    return asyncio.run(_described())


async def _described() -> dict[str, Any]:
    # Nothing is ever sealed under this key.
    key = base64.b64encode(bytes(32)).decode()
    settings = Settings(
        database_url=Secret(f"postgresql://nobody@{_NOWHERE}/nothing"),
        redis_url=Secret(f"redis://{_NOWHERE}/0"),
        keyring=Secret(f"k1:{key}"),
    )
    foundation = lay_foundation(settings, process="api")
    try:
        wired = wire(foundation, refresh_queue(foundation))
        return describe(described_routers(wired), "https://tokenkeep.example.com")
    finally:
        await foundation.close()
