"""`client.api_keys` and `client.audit`: who may call, and who did."""
# Derived from keys_async.py by `make client`: change that one.

from collections.abc import Iterator, Sequence
from datetime import datetime

from tokenkeep.client.answers.keys import ApiKey, AuditEntry
from tokenkeep.client.calls import Listing, creating, given, identified, listing, moment, removing
from tokenkeep.client.performing_asks import Asker
from tokenkeep.domain.ids import IdKind

_PATH = "/v1/api-keys"


class ApiKeys:
    """API keys. Of a client: `client.api_keys`. All of it takes the scope `admin`."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    def create(
        self,
        name: str,
        *,
        environment: str,
        scopes: Sequence[str],
        expires_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> ApiKey:
        """Make a key. Its `key` is there this once. `scopes`: see `Scope`."""
        body = given(name=name, environment=environment, scopes=scopes, expires_at=expires_at)
        return self._ask(creating(ApiKey, _PATH, body, idempotency_key))

    def list(self, *, limit: int = 100, cursor: str | None = None) -> Listing[ApiKey]:
        """A page of the environment's keys, oldest first."""
        return self._ask(listing(ApiKey, _PATH, limit=limit, cursor=cursor))

    def iterate(self) -> Iterator[ApiKey]:
        """All keys of the environment, oldest first."""
        cursor: str | None = None
        while True:
            page = self.list(limit=200, cursor=cursor)
            for item in page:
                yield item
            if page.next_cursor is None:
                return
            cursor = page.next_cursor

    def delete(self, key_id: str) -> None:
        """Withdraw a key. It stops working at once."""
        return self._ask(removing(f"{_PATH}/{identified(IdKind.API_KEY, key_id, 'key_id')}"))


class Audit:
    """The audit trail. Of a client: `client.audit`."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    def list(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        result: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Listing[AuditEntry]:
        """A page of who did what, newest first: entries that fit all that is given. `since` is included, `until` is not."""
        return self._ask(
            listing(
                AuditEntry,
                "/v1/audit",
                actor=actor,
                action=action,
                target=target,
                result=result,
                since=moment(since),
                until=moment(until),
                limit=limit,
                cursor=cursor,
            )
        )

    def iterate(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        result: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[AuditEntry]:
        """All entries that fit, newest first, page by page as they are needed."""
        cursor: str | None = None
        while True:
            page = self.list(
                actor=actor,
                action=action,
                target=target,
                result=result,
                since=since,
                until=until,
                limit=200,
                cursor=cursor,
            )
            for item in page:
                yield item
            if page.next_cursor is None:
                return
            cursor = page.next_cursor
