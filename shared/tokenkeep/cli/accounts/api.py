"""The calls that these commands make, imports aside."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tokenkeep.cli.http_api.access import Access
from tokenkeep.cli.http_api.calls import Calls, open_calls, path_of


class AccountsApi:
    """The API's accounts."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def accounts(self, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """All accounts that are asked for, oldest first, a page in memory at a time."""
        return self._calls.pages("/v1/accounts", query)

    def account(self, account_id: str) -> dict[str, Any]:
        """One account."""
        account: dict[str, Any] = self._calls.call("GET", _path(account_id))["data"]
        return account

    def with_credentials(self, account_id: str) -> dict[str, Any]:
        """One account with its credentials. Raises `ApiRefused` with a code where it has none to give."""
        account: dict[str, Any] = self._calls.call("GET", _path(account_id), {"include_credentials": "1"})["data"]
        return account

    def attempts(self, account_id: str) -> Iterator[dict[str, Any]]:
        """Its refresh journal, newest first, a page in memory at a time."""
        return self._calls.pages(f"{_path(account_id)}/attempts")

    def events(self, account_id: str) -> Iterator[dict[str, Any]]:
        """Its events, newest first."""
        return self._calls.pages(f"{_path(account_id)}/events")

    def webhooks(self) -> Iterator[dict[str, Any]]:
        """The environment's webhooks."""
        return self._calls.pages("/v1/webhooks")

    def deliveries(self, webhook_id: str, event_id: str) -> list[dict[str, Any]]:
        """What became of one event at one webhook: one delivery, or none."""
        found: list[dict[str, Any]] = self._calls.call(
            "GET", f"/v1/webhooks/{webhook_id}/deliveries", {"event_id": event_id}
        )["data"]
        return found

    def toggle(self, account_id: str, *, on: bool) -> dict[str, Any]:
        """Enable or disable an account; as it is then."""
        path = f"{_path(account_id)}/{'enable' if on else 'disable'}"
        account: dict[str, Any] = self._calls.call("POST", path)["data"]
        return account


@contextmanager
def open_api(access: Access) -> Iterator[AccountsApi]:
    """The API behind this access."""
    with open_calls(access) as calls:
        yield AccountsApi(calls)


def _path(account_id: str) -> str:
    return path_of("/v1/accounts", account_id, kind="an account", prefix="acc")
