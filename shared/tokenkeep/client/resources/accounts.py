"""`client.accounts`: end users' credentials at sources."""
# Derived from accounts_async.py by `make client`: change that one.

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from tokenkeep.client.answers.accounts import (
    Account,
    Attempt,
    Erasure,
    ImportResult,
    RefreshAsked,
    Released,
    Signature,
)
from tokenkeep.client.answers.token import Token
from tokenkeep.client.calls import (
    Listing,
    changing,
    creating,
    event_listing,
    given,
    identified,
    listing,
    moment,
    one,
    reading,
    removing,
    stated,
)
from tokenkeep.client.event import Event
from tokenkeep.client.importing import import_calls, import_results
from tokenkeep.client.performing_asks import Asker
from tokenkeep.client.token_shelf import Wish
from tokenkeep.domain.ids import IdKind

_PATH = "/v1/accounts"


class Accounts:
    """Accounts. Of a client: `client.accounts`."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    def create(
        self,
        source_id: str,
        *,
        credentials: Mapping[str, Any] | None = None,
        external_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        verify: bool = True,
        idempotency_key: str | None = None,
    ) -> Account:
        """Create an account, once: a lost answer is asked for again under the same Idempotency-Key.

        Args:
            source_id: Where the credentials are good.
            credentials: As the source's `account_schema` says; None: the account is `pending` until they come.
            external_id: Whose they are, where the provider can't tell.
            metadata: Texts of your own, to find the account by.
            properties: What the provider's addresses or requests are made of.
            verify: Ask the provider first whether it takes them.
            idempotency_key: One of your own, so that another process may go on where this one died.

        Raises:
            CredentialsRejected: The provider does not take them.
            AccountExists: There is one already; its `account_id`.
            InvalidRequest: `field` says what is wrong.
        """
        body = given(
            source_id=source_id,
            credentials=credentials,
            external_id=external_id,
            metadata=metadata,
            properties=properties,
        )
        return self._ask(creating(Account, _PATH, body, idempotency_key, verify=None if verify else "false"))

    def get(self, account_id: str, *, include_credentials: bool = False) -> Account:
        """One account; with `include_credentials` (scope `credentials:read`) its credentials too, never known-expired ones."""
        return self._ask(reading(Account, _path(account_id), include_credentials="1" if include_credentials else None))

    def list(
        self,
        *,
        source_id: str | None = None,
        state: str | None = None,
        health: str | None = None,
        external_id: str | None = None,
        provider: str | None = None,
        expires_before: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Listing[Account]:
        """A page of the environment's accounts, oldest first. Only those that fit all that is given; `limit` is up to 200."""
        labels = {f"metadata.{name}": value for name, value in (metadata or {}).items()}
        return self._ask(
            listing(
                Account,
                _PATH,
                source_id=source_id,
                state=state,
                health=health,
                external_id=external_id,
                provider=provider,
                expires_before=moment(expires_before),
                limit=limit,
                cursor=cursor,
                **labels,
            )
        )

    def iterate(
        self,
        *,
        source_id: str | None = None,
        state: str | None = None,
        health: str | None = None,
        external_id: str | None = None,
        provider: str | None = None,
        expires_before: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Iterator[Account]:
        """All accounts that fit, page by page as they are needed."""
        cursor: str | None = None
        while True:
            page = self.list(
                source_id=source_id,
                state=state,
                health=health,
                external_id=external_id,
                provider=provider,
                expires_before=expires_before,
                metadata=metadata,
                limit=200,
                cursor=cursor,
            )
            for item in page:
                yield item
            if page.next_cursor is None:
                return
            cursor = page.next_cursor

    def update(
        self,
        account_id: str,
        *,
        metadata: Mapping[str, str | None] | None = None,
        properties: Mapping[str, str | None] | None = None,
    ) -> Account:
        """Change metadata and properties, name by name. None takes a name away; those that are not named stay as they are.

        Raises:
            NotAllowed: The key lacks `accounts:write`; or other properties would have credentials that are here sent to another
                address, and it may not have them (`credentials:read`, `credentials:release`).
        """
        body = given(metadata=metadata, properties=properties)
        return self._ask(changing(Account, "PATCH", _path(account_id), body))

    def delete(self, account_id: str) -> None:
        """Erase the account at once. Its grant is revoked at the provider right afterwards, where that can be done."""
        return self._ask(removing(_path(account_id)))

    def replace_credentials(self, account_id: str, credentials: Mapping[str, Any], *, verify: bool = True) -> Account:
        """Authorise the account again, under its id. It is active then.

        Raises:
            CredentialsRejected: The provider does not take them.
            InvalidRequest: They are another account's of the provider's (`external_id_mismatch`), or not of the right form.
        """
        path, asks = f"{_path(account_id)}/credentials", None if verify else "false"
        return self._ask(changing(Account, "PUT", path, stated(**credentials), verify=asks))

    def refresh(self, account_id: str) -> RefreshAsked:
        """Ask for a refresh now. It has not been done when this returns: see `attempts`."""
        return self._ask(changing(RefreshAsked, "POST", f"{_path(account_id)}/refresh"))

    def enable(self, account_id: str) -> Account:
        """Use the account again. It is refreshed at once, which shows whether its grant is still good."""
        return self._ask(changing(Account, "POST", f"{_path(account_id)}/enable"))

    def disable(self, account_id: str, *, revoke: bool = False) -> Account:
        """Stop using the account. `revoke`: its grant is ended at the provider too, and its end user has to authorise it again."""
        path, wanted = f"{_path(account_id)}/disable", "true" if revoke else None
        return self._ask(changing(Account, "POST", path, revoke=wanted))

    def release(self, account_id: str) -> Released:
        """Take the refresh token back (scope `credentials:release`). The account is disabled then.

        Asked again, it gives the same answer until `confirm_release`, or for a day. So store what it gives, and confirm then.

        Raises:
            CredentialsErased: It was confirmed, or the day is over.
            Conflict: There is no refresh token in custody (`not_held`).
        """
        ask = changing(Released, "POST", f"{_path(account_id)}/release", repeatable=True)
        return self._ask(ask)

    def confirm_release(self, account_id: str) -> Erasure:
        """Say that what `release` gave is stored where it belongs. It is erased at tokenkeep."""
        return self._ask(changing(Erasure, "POST", f"{_path(account_id)}/release/confirm"))

    def verify(self, account_id: str) -> Account:
        """Ask the provider whether it takes the account's credentials, and whose they are; `verification` says what came of it."""
        return self._ask(changing(Account, "POST", f"{_path(account_id)}/verify"))

    def sign(
        self,
        account_id: str,
        method: str,
        url: str,
        *,
        body: str | Mapping[str, str | Sequence[str]] | None = None,
        realm: str | None = None,
    ) -> Signature:
        """The header for one request of an OAuth 1.0a account (RFC 5849). `body`: the parameters of a form, if that is the body."""
        wanted = given(method=method, url=url, body=body, realm=realm)
        path = f"{_path(account_id)}/sign"
        return self._ask(changing(Signature, "POST", path, wanted, repeatable=True))

    def token(self, account_id: str, *, min_ttl: float = 60.0, wait: float = 10.0, force: bool = False) -> Token:
        """Credentials straight from the server. `client.token` keeps them for as long as they are good: use that.

        Args:
            account_id: Whose.
            min_ttl: For how many seconds they are to be good at least; a token that lives shorter gives half of its life.
            wait: For how many seconds a refresh is waited for, up to 30.
            force: Only ones that are newer than this request will do.

        Raises:
            AccountDisabled, AccountNotReady: The account's state gives none.
            TokenUnavailable: None could be had in time.
        """
        return self._ask(Wish(account_id, min_ttl, wait, force).asking(one(Token)))

    def attempts(self, account_id: str, *, limit: int = 100, cursor: str | None = None) -> Listing[Attempt]:
        """A page of the account's refresh journal, newest first."""
        return self._ask(listing(Attempt, f"{_path(account_id)}/attempts", limit=limit, cursor=cursor))

    def events(self, account_id: str, *, limit: int = 100, cursor: str | None = None) -> Listing[Event]:
        """A page of what happened to the account, newest first."""
        return self._ask(event_listing(f"{_path(account_id)}/events", limit=limit, cursor=cursor))

    def import_all(
        self,
        accounts: Iterable[Mapping[str, Any]],
        *,
        source_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Iterator[ImportResult]:
        """Take over live credentials by the thousand: a result for each account, in order, as they come.

        Each account is as `create` takes it. They are sent 250 at a time; an account that is refused stops no other.

        Args:
            accounts: Any number of them; they are read as they are sent.
            source_id: The source of those that name none.
            idempotency_key: With a key of your own, an import that broke off is gone on with by the same key and accounts, within two days.

        Raises:
            ApiProblem: The import can't go on. Those before are done.
        """
        for first_line, ask in import_calls(accounts, source_id, idempotency_key):
            answered = self._ask(ask)
            for result in import_results(answered, first_line):
                yield result


def _path(account_id: str) -> str:
    return f"{_PATH}/{identified(IdKind.ACCOUNT, account_id, 'account_id')}"
