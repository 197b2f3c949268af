"""Every error of ours, in one tree.

    TokenkeepError
    ├── InvalidInput                 the caller's input is wrong; `field` names where
    │   ├── MalformedId
    │   ├── ForbiddenAddress         a URL that leads where we do not go
    │   ├── UnknownRefresher         a source wants a refresher that is not installed
    │   ├── CredentialsRejected      the provider does not take the credentials
    │   └── ExternalIdMismatch       the credentials belong to another account of the provider's
    ├── NotFound                     nothing of that name in this environment
    ├── Conflict                     the request does not fit the present state; `code` says how (`domain/conflicts.py`)
    │   ├── AccountExists
    │   ├── AccountDisabled
    │   ├── AccountPending
    │   ├── ReauthorizationRequired
    │   ├── NotRefreshable           there is nothing to refresh the account with
    │   ├── NotSigned                requests for the account bear no signature of their own
    │   ├── NotHeld                  there is no refresh token of the account that could be handed back
    │   ├── NotReleased              the account's credentials were never handed back
    │   ├── CredentialsChanged       newer ones have come since they were handed back
    │   ├── SourceInUse               a source was to be deleted of which something is in custody
    │   ├── SessionEnded              the connect session is over; `state` says how
    │   ├── ResultRedeemed            the result of a connect session was checked before
    │   ├── WebhookDisabled           a webhook that is disabled is sent nothing
    │   ├── WebhookParking            what a disabled webhook was not sent is still being put aside
    │   ├── TooManyWebhooks           the environment has as many as one may have
    │   ├── IdempotencyMismatch
    │   ├── RequestInProgress        an equal request of the same Idempotency-Key is still under way
    │   ├── RequestOutcomeUnknown    it did not end, and what it was to exchange may be spent
    │   └── AuthorizationSpent       an equal request exchanged what this one brings, and failed afterwards
    ├── NotAllowed                   the API key lacks a scope
    ├── NotAuthenticated             there is no valid API key
    ├── RateLimited                  too many requests; `retry_after` says when to ask again
    ├── CredentialsErased            the account's credentials were handed back and are gone
    ├── CursorExpired                what comes after the cursor can't be told whole any more
    ├── TooManyReaders               more readers of the feed than are served at once
    ├── RefreshUnanswered            a refresh token's fate is not known yet; `retry_after` says when to ask again
    ├── RevocationUnanswered         a grant's revocation is with its provider; `retry_after` says when to ask again
    ├── TokenUnavailable             no token to be had in time; `retry_after` says when to ask again
    ├── ProviderUnavailable          a provider can't be had now; `retry_after` says when to ask again
    ├── ConnectFailed                no connection to a provider; nothing was sent
    ├── SourcePaused                 the source is paused, nothing is refreshed for it
    ├── SettingsError                a setting is missing or wrong; ends the process at its start
    ├── MigrationFailed              the database can't be brought to the present schema now
    ├── CatalogueError               a provider's data file is wrong; names the file and the field
    ├── RefresherSays                what a refresher says instead of giving a token set (`domain/refresher.py`)
    ├── StoreUnavailable             a credential store can't be had now
    │   └── StoreTaken               it is another installation's
    ├── NotStored                    a credential store has nothing of this name
    ├── StoredElsewhere              what a transaction needs lies in a store, and was not fetched before it
    ├── KeyServiceError              a key service does not open a key of the keyring
    │   └── KeyServiceUnavailable    it can't be had now
    └── VaultError                   a ciphertext or a key does not fit
        └── UnknownKey               the keyring lacks the key that wrapped a row

Errors carry facts. Which HTTP status says them is for the routes to know.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenkeep.domain.account import FailureReason
    from tokenkeep.domain.credential_store import KeptAt


class TokenkeepError(Exception):
    """The root of the tree. Errors can be pickled: task queues hand them from process to process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


class InvalidInput(TokenkeepError):
    """The caller's input can't be taken; nothing was stored.

    `field` is a dotted path into the body (`options.token_url`), or the name of a parameter or header.
    """

    code = "invalid_input"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


class MalformedId(InvalidInput):
    """A text that is not an id of the expected kind."""

    code = "malformed_id"

    def __init__(self, field: str, prefix: str) -> None:
        super().__init__(field, f"expected an id such as {prefix}_0193e1a4c1c07d0f8f3c7be4a1b2c3d4")


class ForbiddenAddress(InvalidInput):
    """A URL whose host is, or resolves to, an address that is not public."""

    code = "forbidden_address"


class UnknownRefresher(InvalidInput):
    """A source's refresher is not installed where it would be needed."""

    code = "unknown_refresher"

    def __init__(self) -> None:
        super().__init__("options.refresher", "no such refresher is installed in this worker")


class CredentialsRejected(InvalidInput):
    """The provider does not take the credentials. The detail holds a code of ours or RFC 6749's, no text of its own."""

    code = "credentials_rejected"


class ExternalIdMismatch(InvalidInput):
    """The provider says that the credentials are another account's than was said, or than was verified before.

    The other id is not told: it is somebody's.
    """

    code = "external_id_mismatch"

    def __init__(self, field: str = "external_id", detail: str = "the provider tells another one") -> None:
        super().__init__(field, detail)


class NotFound(TokenkeepError):
    """There is no such thing in the caller's environment. Another environment's things do not exist either."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"there is no such {kind} in this environment")
        self.kind = kind


class NotAuthenticated(TokenkeepError):
    """There is no API key, or it is unknown, expired or withdrawn. Which of them is not told."""

    def __init__(self) -> None:
        super().__init__("a valid API key is needed: Authorization: Bearer tk_…")


class RateLimited(TokenkeepError):
    """More requests than an API key, or an address without one, may make."""

    def __init__(self, who: str, *, retry_after: float) -> None:
        super().__init__(f"too many requests {who}")
        self.retry_after = retry_after


class NotAllowed(TokenkeepError):
    """The API key does not have the scope that this call needs."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"the API key lacks the scope {scope}")
        self.scope = scope


class CredentialsErased(TokenkeepError):
    """The account's credentials were handed back, and erased when that was confirmed or had not been for a day."""

    code = "credentials_erased"

    def __init__(self) -> None:
        super().__init__("the account's credentials were released and erased")


class CursorExpired(TokenkeepError):
    """Events after the cursor are deleted, or the database's history is another one than the cursor's."""

    code = "cursor_expired"

    def __init__(self) -> None:
        super().__init__(
            "events after this cursor are no longer kept, or the database was set back since: read the state of what you"
            " follow, and start again without a cursor or with `now`"
        )


class TooManyReaders(TokenkeepError):
    """The feed of events has as many readers as this process serves, or as one key may have."""

    code = "too_many_readers"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)


class RefreshUnanswered(TokenkeepError):
    """The refresh token was presented, and nobody knows yet what became of it. Not a verdict on the account."""

    code = "refresh_in_flight"

    def __init__(self, *, retry_after: float) -> None:
        super().__init__("a refresh of the account is under way, or its answer is not known yet")
        self.retry_after = retry_after


class RevocationUnanswered(TokenkeepError):
    """The provider is being told to revoke this grant, or its user's former one, and has not answered yet. Nothing was stored."""

    code = "revocation_in_flight"

    def __init__(self, *, retry_after: float) -> None:
        super().__init__("this grant, or one of the same user, is being revoked at the provider just now")
        self.retry_after = retry_after


class TokenUnavailable(TokenkeepError):
    """No token could be had within the caller's time. Not a verdict on the account."""

    def __init__(self, reason: str, *, retry_after: float) -> None:
        super().__init__(f"no fresh token yet: {reason}")
        self.reason = reason
        self.retry_after = retry_after


class ProviderUnavailable(TokenkeepError):
    """The provider could not be had, or is in trouble. `maybe_used`: what was sent may count as used up there."""

    def __init__(self, reason: "FailureReason", *, retry_after: float, maybe_used: bool) -> None:
        super().__init__(f"the provider can't be had now: {reason.value}")
        self.reason = reason
        self.retry_after = retry_after
        self.maybe_used = maybe_used


class ConnectFailed(TokenkeepError):
    """No connection to a provider could be had. Nothing was sent, so the refresh token is untouched.

    `reason` is `network_error` or `timeout`.
    """

    def __init__(self, reason: "FailureReason", detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class SettingsError(TokenkeepError):
    """A setting is missing or wrong. The message is one line that names it."""


class MigrationFailed(TokenkeepError):
    """The database can't be brought to the present schema now; the message says why, in one line."""


class CatalogueError(TokenkeepError):
    """A provider's data file can't be used. `file` is its name, `field` a dotted path into it (empty: the whole)."""

    def __init__(self, file: str, field: str, detail: str) -> None:
        super().__init__(f"{file}: {field}: {detail}" if field else f"{file}: {detail}")
        self.file = file
        self.field = field
        self.detail = detail


class StoreUnavailable(TokenkeepError):
    """A credential store can't be had, or this process was not told of it. `store` is its kind, `fault` an exception's name."""

    def __init__(self, store: str, fault: str | None = None) -> None:
        super().__init__(f"the credential store {store} can't be had" + ("" if fault is None else f" ({fault})"))
        self.store = store
        self.fault = fault


class StoreTaken(StoreUnavailable):
    """The credential store is another installation's, which would sweep away what it knows nothing of."""


class NotStored(TokenkeepError):
    """A credential store answers that it has nothing of this name."""

    def __init__(self, name: str) -> None:
        super().__init__("the credential store has nothing of this name")
        self.name = name


class StoredElsewhere(TokenkeepError):
    """A transaction needs what lies in a credential store: it is given up, and begun anew once that was fetched."""

    def __init__(self, at: "KeptAt") -> None:
        super().__init__("it lies in a credential store")
        self.at = at


class VaultError(TokenkeepError):
    """A ciphertext does not open: it was altered, moved to another row, or sealed by another key."""


class UnknownKey(VaultError):
    """The keyring does not hold the key that a row names."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"the keyring has no key {key_id!r}")
        self.key_id = key_id


class KeyServiceError(TokenkeepError):
    """A key service refuses: it does not know the key, may not use it, or what it was given was made by another or for another."""

    def __init__(self, service: str, problem: str) -> None:
        super().__init__(f"{service}: {problem}")
        self.service = service


class KeyServiceUnavailable(KeyServiceError):
    """A key service can't be had now; asked later it may answer."""


class SourcePaused(TokenkeepError):
    """The source is paused, so nothing is refreshed for it."""

    def __init__(self, reason: str, since: datetime | None) -> None:
        super().__init__(f"the source is paused: {reason}")
        self.reason = reason
        self.since = since


def _restored(cls: type[TokenkeepError], arguments: tuple[Any, ...], facts: dict[str, Any]) -> TokenkeepError:
    error = cls.__new__(cls, *arguments)
    error.args = arguments
    error.__dict__.update(facts)
    return error
