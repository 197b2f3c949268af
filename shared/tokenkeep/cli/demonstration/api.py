"""The demo as a client of the HTTP API: what any application would do."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.cli.demonstration.promises import ToldEvent
from tokenkeep.domain.secret import Secret

ENVIRONMENT = "demo"

_TIMEOUT_S = 30.0
"""Longer than the API waits for a provider."""
_PAGE = 200
_EVENTS = 500


@dataclass(frozen=True, slots=True)
class HandedToken:
    """An access token as callers get it."""

    value: Secret
    expires_at: datetime


class DemoApi:
    """The calls that the demo makes."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def retire_sources(self) -> None:
        """Pause every source of the demo's: those of earlier runs have lost their providers."""
        for source in await self._list("/v1/sources", {}):
            if source["state"] == "active":
                await self._call("POST", f"/v1/sources/{source['id']}/pause")

    async def create_source(self, provider_url: str, *, client_id: str, client_secret: Secret) -> str:
        """Register the provider; the source's id."""
        body = {
            "provider": "generic-oauth2",
            "name": "The demo's provider",
            "client_id": client_id,
            "client_secret": client_secret.reveal(),
            "scopes": ["profile"],
            "options": {
                "authorization_url": f"{provider_url}/authorize",
                "token_url": f"{provider_url}/token",
                "revocation_url": f"{provider_url}/revoke",
                "refresh_rotates": "yes",
                "reuse_detection": "revokes",
            },
        }
        source = await self._call("POST", "/v1/sources", body)
        return str(source["id"])

    async def create_account(self, source_id: str, external_id: str, credentials: Mapping[str, str]) -> dict[str, Any]:
        """Hand over what the user's consent gave; the account."""
        body = {
            "source_id": source_id,
            "credentials": dict(credentials),
            "external_id": external_id,
            "metadata": {"connected_by": "demo"},
        }
        account: dict[str, Any] = await self._call("POST", "/v1/accounts", body)
        return account

    async def active_accounts(self, source_id: str) -> list[dict[str, Any]]:
        """Those of the source that can be used."""
        return await self._list("/v1/accounts", {"source_id": source_id, "state": "active"})

    async def account(self, account_id: str) -> dict[str, Any]:
        """One account."""
        account: dict[str, Any] = await self._call("GET", f"/v1/accounts/{account_id}")
        return account

    async def accounts(self, source_id: str) -> list[dict[str, Any]]:
        """Those of the source, whatever their state."""
        return await self._list("/v1/accounts", {"source_id": source_id})

    async def token(self, account_id: str, *, min_ttl_s: int = 60, wait_s: int = 10) -> HandedToken:
        """A token that callers get.

        Raises:
            DemoFailure: They are sent away.
        """
        wish = {"min_ttl": min_ttl_s, "wait": wait_s}
        given = await self._call("POST", f"/v1/accounts/{account_id}/token", wish)
        return HandedToken(Secret(str(given["access_token"])), datetime.fromisoformat(given["expires_at"]))

    async def is_paused(self, source_id: str) -> bool:
        """Whether the source is paused, for whatever reason."""
        return bool((await self._call("GET", f"/v1/sources/{source_id}"))["state"] == "paused")

    async def replace_secret(self, source_id: str, client_secret: Secret) -> None:
        """Give the source another client secret."""
        await self._call("PATCH", f"/v1/sources/{source_id}", {"client_secret": client_secret.reveal()})

    async def resume(self, source_id: str) -> None:
        """Let the source go on; revocations that were held are not confirmed."""
        await self._call("POST", f"/v1/sources/{source_id}/resume", {"confirm_revocations": False})

    async def present(self) -> str:
        """The feed's cursor behind everything that has happened."""
        return str((await self._request("GET", "/v1/events", params={"after": "now"})).json()["next_cursor"])

    async def events(self, since: str, source_id: str) -> list[ToldEvent]:
        """The events of a source and its accounts since a cursor."""
        found: list[ToldEvent] = []
        cursor = since
        while True:
            page = (await self._request("GET", "/v1/events", params={"after": cursor, "limit": str(_EVENTS)})).json()
            found += [_told(one) for one in page["data"] if one["data"].get("source_id") == source_id]
            cursor = page["next_cursor"]
            if len(page["data"]) < _EVENTS:
                return found

    async def _list(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        things: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            given = dict(query) | {"limit": str(_PAGE)} | ({} if cursor is None else {"cursor": cursor})
            answer = await self._request("GET", path, params=given)
            page = answer.json()
            things += page["data"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return things

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        answer = await self._request(method, path, **({} if body is None else {"json": body}))
        return answer.json().get("data") if answer.content else None

    async def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            msg = f"{method} {path} got no answer from the API: {type(error).__name__}"
            raise DemoFailure(msg) from None
        if not answer.is_success:
            msg = f"{method} {path} was answered {answer.status_code}: {_problem(answer)}"
            raise DemoFailure(msg)
        return answer


@asynccontextmanager
async def open_api(url: str, admin_key: Secret) -> AsyncIterator[DemoApi]:
    """The API at this URL, in the demo's environment."""
    headers = {"Authorization": f"Bearer {admin_key.reveal()}", "X-Tokenkeep-Environment": ENVIRONMENT}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=_TIMEOUT_S, trust_env=False) as http:
        yield DemoApi(http)


def _told(document: Mapping[str, Any]) -> ToldEvent:
    return ToldEvent(document["id"], document["type"], document["subject"], int(document["sequence"]))


def _problem(answer: httpx.Response) -> str:
    """The code and the words of a problem document (RFC 9457)."""
    try:
        problem = answer.json()
    except ValueError:
        return answer.reason_phrase
    if not isinstance(problem, dict):
        return answer.reason_phrase
    return " ".join(str(problem[member]) for member in ("code", "field", "detail") if problem.get(member))
