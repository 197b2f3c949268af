"""The API in this process, over real stores, with a worker beside it that takes what the queue is given."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import text
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.application.ports import HintQueue
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.bootstrap import Foundation, lay_foundation
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.settings import Settings
from tokenkeep_api.app import create_app
from tokenkeep_api.main import Api, wire
from tokenkeep_api.wired import Wired
from tokenkeep_worker.wiring import Refreshing
from tokenkeep_worker.wiring import wire as wire_worker

ADMIN_KEY = "tk_admin-key-of-the-tests-4711"


@dataclass
class DirectQueue(HintQueue):
    """Hands what is enqueued straight to a worker's use-case; `refreshing` None loses it."""

    refreshing: Refreshing | None = None
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def enqueue(
        self,
        account_ids: Sequence[AccountId],
        *,
        trigger: Trigger,
        correlation_id: str,
        source_id: SourceId | None = None,
    ) -> bool:
        if self.refreshing is None:
            return False
        work = self.refreshing.refresh(account_ids, trigger=trigger, correlation_id=correlation_id, source_id=source_id)
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        return True

    async def enqueue_all(
        self, hints: Sequence[tuple[Trigger, SourceId, Sequence[AccountId]]], *, correlation_id: str
    ) -> bool:
        given = [
            await self.enqueue(ids, trigger=trigger, correlation_id=correlation_id, source_id=source)
            for trigger, source, ids in hints
        ]
        return all(given)

    async def waiting(self) -> int:
        return 0

    async def drain(self) -> None:
        await asyncio.gather(*self.tasks)


class HangingUp:
    """The app to clients that read the first piece of a stream of events, and leave."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streamed = left = False

        async def sent(message: Message) -> None:
            nonlocal streamed, left
            if message["type"] == "http.response.start":
                streamed = any(b"event-stream" in value for _, value in message["headers"])
            if not left:
                left = streamed and message["type"] == "http.response.body"
                await send({**message, "more_body": False} if left else message)

        await self._app(scope, receive, sent)


@dataclass
class Service:
    """One API, and an environment of the test's own."""

    foundation: Foundation
    wired: Wired
    app: ASGIApp
    queue: DirectQueue
    sealer: TokenSealer
    environment: str = field(default_factory=lambda: f"e{uuid4().hex[:12]}")

    def client(self, key: str | None = ADMIN_KEY, **headers: str) -> httpx.AsyncClient:
        """A client with this key; the admin key's environment is the test's own."""
        given = dict(headers)
        if key is not None:
            given["Authorization"] = f"Bearer {key}"
        if key == ADMIN_KEY:
            given.setdefault("X-Tokenkeep-Environment", self.environment)
        transport = httpx.ASGITransport(HangingUp(self.app), client=("192.0.2.7", 4711))
        return httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=given)

    async def key(self, *scopes: str, environment: str | None = None) -> str:
        """An API key with these scopes."""
        body = {"name": "a key", "environment": environment or self.environment, "scopes": scopes}
        async with self.client() as admin:
            return str(data(await admin.post("/v1/api-keys", json=body), 201)["key"])

    async def source(self, token_url: str, *, client_secret: str = "canary-client-secret", **options: Any) -> str:
        """A source at this token endpoint."""
        body = {
            "provider": "generic-oauth2",
            "name": "a source",
            "client_id": "client",
            "client_secret": client_secret,
            "scopes": ["read"],
            "options": {"token_url": token_url, **options},
        }
        async with self.client() as admin:
            return str(data(await admin.post("/v1/sources", json=body), 201)["id"])

    async def account(self, source_id: str, name: str = "grant", **changes: Any) -> str:
        """An account whose refresh token is `<name>.1`; its access token lives for an hour unless told otherwise."""
        tokens = {"access_token": f"access-{name}.1", "refresh_token": f"{name}.1", "expires_in": 3600, **changes}
        body = {"source_id": source_id, "credentials": {k: v for k, v in tokens.items() if v is not None}}
        async with self.client() as admin:
            return str(data(await admin.post("/v1/accounts", json=body), 201)["id"])

    async def sql(self, statement: str, **parameters: Any) -> Any:
        async with self.foundation.database.transaction() as connection:
            result = await connection.execute(text(statement), parameters)
            return result.mappings().all() if result.returns_rows else None

    async def flush(self) -> None:
        await self.wired.reads.flush()
        await self.wired.uses.flush()


@asynccontextmanager
async def open_service(database_url: str, redis_url: str, **changes: Any) -> AsyncIterator[Service]:
    """An API over these stores."""
    settings = Settings.model_validate(
        {
            "database_url": database_url,
            "redis_url": redis_url,
            "keyring": Keyring.generate().to_text().reveal(),
            "admin_key": ADMIN_KEY,
            "allow_private_hosts": "127.0.0.1/32",
            "write_ahead_s": "10",  # a machine that stands still for a moment is not too late to send
            **changes,
        }
    )
    foundation = lay_foundation(settings, process="test")
    refreshing = wire_worker(foundation)
    queue = DirectQueue(refreshing)
    wired = wire(foundation, queue)
    api = Api(wired)
    await api.start()
    try:
        yield Service(foundation, wired, create_app(wired), queue, refreshing.sealer)
    finally:
        await queue.drain()
        await api.stop()
        await refreshing.close()
        await foundation.close()


def data(answer: httpx.Response, status: int = 200) -> Any:
    """The `data` of an answer that must have this status."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    return answer.json()["data"]


def problem(answer: httpx.Response, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """The problem that an answer must be."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["code"] == code, document
    assert document["status"] == status
    assert document["type"] == f"/problems/{code}"
    assert document["title"]
    assert document["detail"]
    assert document.get("field") == field, document
    return document
