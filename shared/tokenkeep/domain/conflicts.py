"""Requests that are sound but do not fit the present state: the branch of the error tree with the most leaves."""

from tokenkeep.domain.errors import TokenkeepError


class Conflict(TokenkeepError):
    """The request is sound but does not fit the present state."""

    code = "conflict"


class AccountExists(Conflict):
    """The source already has an account of this verified external id, or its client one that came with this refresh token.

    `account_id`: which one it is, unless it is of another environment.
    """

    code = "account_exists"

    def __init__(self, account_id: str | None) -> None:
        super().__init__("there is already an account with this external id or this refresh token")
        self.account_id = account_id


class AccountDisabled(Conflict):
    """The account is disabled and gives no token."""

    code = "account_disabled"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the account is disabled: {reason}")
        self.reason = reason


class AccountPending(Conflict):
    """The account has no credentials yet."""

    code = "account_pending"

    def __init__(self) -> None:
        super().__init__("the account has not been authenticated yet")


class ReauthorizationRequired(Conflict):
    """Only the end user can make this account work again."""

    code = "reauthorization_required"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the end user must authorise the account again: {reason}")
        self.reason = reason


class NotRefreshable(Conflict):
    """The account has nothing to be refreshed with, or nothing that runs out."""

    code = "not_refreshable"

    def __init__(self) -> None:
        super().__init__("the account can't be refreshed: it holds no refresh token that is in use")


class NotSigned(Conflict):
    """The account is none of OAuth 1.0a: its requests bear headers, not signatures."""

    code = "not_signed"

    def __init__(self) -> None:
        super().__init__(
            "only requests for accounts of OAuth 1.0a are signed; others bear the headers that /token gives"
        )


class NotHeld(Conflict):
    """There is no refresh token in custody, so none can be handed back."""

    code = "not_held"

    def __init__(self) -> None:
        super().__init__("there is no refresh token of this account in custody")


class NotReleased(Conflict):
    """A release was confirmed that never was."""

    code = "not_released"

    def __init__(self) -> None:
        super().__init__("the account's credentials were not released")


class CredentialsChanged(Conflict):
    """A release was confirmed of which a late answer has brought newer credentials; to erase those would lose them."""

    code = "credentials_changed"

    def __init__(self) -> None:
        super().__init__("newer credentials have come since: ask for the release again, and confirm then")


class SourceInUse(Conflict):
    """A source was to be deleted that accounts, or grants still to be revoked, are in need of.

    `accounts`: how many it has; `most` is as far as they are counted, so one more than that means any number beyond it.
    """

    code = "source_in_use"

    def __init__(self, *, accounts: int, most: int) -> None:
        if accounts > most:
            held = f"the source has more than {most} accounts"
        elif accounts:
            held = f"the source has {accounts} account{'' if accounts == 1 else 's'}"
        else:
            held = "grants of the source are still being revoked at the provider"
        todo = (
            "release those whose tokens you want back, and delete them, first" if accounts else "try again in a while"
        )
        super().__init__(f"{held}: {todo}")
        self.accounts = accounts
        self.most = most


class SessionEnded(Conflict):
    """A connect session's time is over, or the account is connected already; `state` is `expired` or `connected`."""

    code = "session_ended"

    def __init__(self, state: str) -> None:
        super().__init__(f"the connect session is {state}")
        self.state = state


class ResultRedeemed(Conflict):
    """The result of a connect session was redeemed before. Whoever comes with it again may have stolen it."""

    code = "result_redeemed"

    def __init__(self) -> None:
        super().__init__("this result was redeemed before; it is good for one time")


class WebhookDisabled(Conflict):
    """Something was to be sent to a webhook that is disabled."""

    code = "webhook_disabled"

    def __init__(self) -> None:
        super().__init__("the webhook is disabled: enable it first")


class WebhookParking(Conflict):
    """A webhook was to be enabled while a worker still puts aside what it was not sent."""

    code = "webhook_parking"

    def __init__(self) -> None:
        super().__init__("what the webhook was not sent is still being put aside: try again in a few seconds")


class TooManyWebhooks(Conflict):
    """An environment was to have more webhooks than one may have."""

    code = "too_many_webhooks"

    def __init__(self, most: int) -> None:
        super().__init__(f"the environment has {most} webhooks, and may have no more")


class IdempotencyMismatch(Conflict):
    """An Idempotency-Key was used again with another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used before with a different request")


class RequestInProgress(Conflict):
    """An equal request with the same Idempotency-Key has not been answered yet."""

    code = "request_in_progress"

    def __init__(self) -> None:
        super().__init__("an equal request with this Idempotency-Key is still under way")


class RequestOutcomeUnknown(Conflict):
    """An equal request did not end. What it was to exchange, an authorization code, may be spent: it is not sent again."""

    code = "request_outcome_unknown"

    def __init__(self) -> None:
        super().__init__(
            "an equal request did not end, and what it was to exchange may be spent: have the user authorise again"
        )


class AuthorizationSpent(Conflict):
    """The authorization code or verifier was exchanged for a request that could not be carried out then: it is not sent again."""

    code = "authorization_spent"

    def __init__(self) -> None:
        super().__init__(
            "this authorization was spent by a request that failed afterwards: have the user authorise again"
        )
