"""The calls that these commands make, imports aside."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tokenkeep.cli.accounts.access import Access
from tokenkeep.cli.accounts.failure import ApiRefused

_TIMEOUT_S = 45.0
"""Longer than the API waits for a refresh."""
_PAGE = 200


class AccountsApi:
    """The API's accounts."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def accounts(self, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """All accounts that are asked for, oldest first, a page in memory at a time."""
        return self._pages("/v1/accounts", query)

    def _pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            given = {**(query or {}), "limit": str(_PAGE), **({} if cursor is None else {"cursor": cursor})}
            page = self._call("GET", path, given)
            yield from page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def account(self, account_id: str) -> dict[str, Any]:
        """One account."""
        account: dict[str, Any] = self._call("GET", _path(account_id))["data"]
        return account

    def with_credentials(self, account_id: str) -> dict[str, Any]:
        """One account with its credentials. Raises `ApiRefused` with a code where it has none to give."""
        account: dict[str, Any] = self._call("GET", _path(account_id), {"include_credentials": "1"})["data"]
        return account

    def attempts(self, account_id: str) -> Iterator[dict[str, Any]]:
        """Its refresh journal, newest first, a page in memory at a time."""
        return self._pages(f"{_path(account_id)}/attempts")

    def events(self, account_id: str) -> Iterator[dict[str, Any]]:
        """Its events, newest first."""
        return self._pages(f"{_path(account_id)}/events")

    def webhooks(self) -> Iterator[dict[str, Any]]:
        """The environment's webhooks."""
        return self._pages("/v1/webhooks")

    def deliveries(self, webhook_id: str, event_id: str) -> list[dict[str, Any]]:
        """What became of one event at one webhook: one delivery, or none."""
        found: list[dict[str, Any]] = self._call(
            "GET", f"/v1/webhooks/{webhook_id}/deliveries", {"event_id": event_id}
        )["data"]
        return found

    def toggle(self, account_id: str, *, on: bool) -> dict[str, Any]:
        """Enable or disable an account; as it is then."""
        account: dict[str, Any] = self._call("POST", f"{_path(account_id)}/{'enable' if on else 'disable'}")["data"]
        return account

    def _call(self, method: str, path: str, query: Mapping[str, str] | None = None) -> Any:
        try:
            answer = self._http.request(method, path, params=query)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            msg = f"{self._http.base_url} gave no answer: {type(error).__name__}"
            raise ApiRefused(msg) from None
        if not answer.is_success:
            raise refused(answer.status_code, answer.content)
        return answer.json()


@contextmanager
def open_api(access: Access) -> Iterator[AccountsApi]:
    """The API behind this access."""
    with httpx.Client(base_url=access.url, headers=access.headers(), timeout=_TIMEOUT_S, trust_env=False) as http:
        yield AccountsApi(http)


def refused(status: int, body: bytes) -> ApiRefused:
    """What the API's problem document says (RFC 9457)."""
    import orjson  # noqa: PLC0415  # see the package `cli`

    try:
        problem = orjson.loads(body)
        code, field, detail = problem["code"], problem.get("field"), problem["detail"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ApiRefused(f"the API answered {status}", status=status)
    where = "" if field is None else f" {field}:"
    return ApiRefused(f"{code}:{where} {detail}", status=status, code=code)


def _path(account_id: str) -> str:
    if not account_id.replace("_", "").isalnum() or not account_id.isascii():
        msg = "an account's id looks like acc_0193e1a4c1c07d0f8f3c7be4a1b2c3d4"
        raise ApiRefused(msg)
    return f"/v1/accounts/{account_id}"
