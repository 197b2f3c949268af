"""`client.connect_sessions` and `client.authorizations`: how end users let accounts come to be."""
# Derived from connecting_async.py by `make client`: change that one.

from collections.abc import Mapping, Sequence

from tokenkeep.client.answers.connecting import Authorized, ConnectSession, NewConnectSession, Redirect
from tokenkeep.client.asking import Ask
from tokenkeep.client.calls import creating, given, identified, reading, whole
from tokenkeep.client.effects import Call
from tokenkeep.client.performing_asks import Asker
from tokenkeep.domain.ids import IdKind

_PATH = "/v1/connect/sessions"
_SOURCE = "X-Tokenkeep-Source"


class ConnectSessions:
    """Links by which end users connect accounts. Of a client: `client.connect_sessions`."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    def create(
        self,
        source_id: str | None = None,
        *,
        account_id: str | None = None,
        external_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        scopes: Sequence[str] | None = None,
        return_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> NewConnectSession:
        """Make a link, good for ten minutes. Send the end user to its `url`.

        Args:
            source_id: Where an account is to be connected.
            account_id: An account that is to be authorised again, under its id; its source goes without saying.
            external_id: Whose the account will be, where the provider can't tell.
            metadata: Texts of your own for the new account.
            properties: What the provider needs; what is not given is asked of the user.
            scopes: In the place of the source's.
            return_url: Where the browser is sent afterwards, with `account_id`, `session_id`, `status` and a `result`.
            idempotency_key: One of your own, so that another process may go on where this one died.
        """
        body = given(
            source_id=source_id,
            account_id=account_id,
            external_id=external_id,
            metadata=metadata,
            properties=properties,
            scopes=scopes,
            return_url=return_url,
        )
        return self._ask(creating(NewConnectSession, _PATH, body, idempotency_key))

    def get(self, session_id: str, *, result: str | None = None) -> ConnectSession:
        """How a session stands.

        With the `result` that the user's browser brought to your `return_url`, you learn that it is the browser which connected
        the account; a result is good for one time, so this call is not made twice.

        Raises:
            Conflict: It was redeemed before (`result_redeemed`).
            InvalidRequest: It is not this session's.
        """
        path = f"{_PATH}/{identified(IdKind.SESSION, session_id, 'session_id')}"
        ask = reading(ConnectSession, path, result=result)
        return self._ask(ask if result is None else Ask(ask.call, ask.read))


class Authorizations:
    """For platforms that send users to providers from pages of their own. Of a client: `client.authorizations`."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    def begin_oauth2(
        self, source_id: str, callback_uri: str, *, state: str, fields: Mapping[str, str] | None = None
    ) -> Redirect:
        """Where to send the user. `fields` are properties that the provider's addresses need."""
        body = given(callback_uri=callback_uri, state=state, fields=fields)
        return self._ask(_begin("/oauth2/v1/authorize", source_id, body))

    def finish_oauth2(
        self,
        source_id: str,
        code: str,
        *,
        callback_uri: str,
        fields: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Authorized:
        """Exchange the code that the user came back with, once, and make the account. `callback_uri`: as it was to begin with."""
        body = {"fields": {**(fields or {}), "callback_uri": callback_uri}, "code": code}
        return self._ask(_finish("/oauth2/v1/access_token", source_id, body, idempotency_key))

    def begin_oauth1(self, source_id: str, callback_uri: str, *, fields: Mapping[str, str] | None = None) -> Redirect:
        """As `begin_oauth2`, for OAuth 1.0a. Keep `token` and `secret` for `finish_oauth1`; a state stands in `callback_uri`."""
        body = given(callback_uri=callback_uri, fields=fields)
        return self._ask(_begin("/oauth1/v1/authorize", source_id, body))

    def finish_oauth1(
        self,
        source_id: str,
        verifier: str,
        *,
        token: str,
        secret: str,
        callback_uri: str,
        fields: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Authorized:
        """Exchange the verifier that the user came back with, once, and make the account."""
        named = {**(fields or {}), "access_token": token, "access_secret": secret, "callback_uri": callback_uri}
        body = {"fields": named, "oauth_verifier": verifier}
        return self._ask(_finish("/oauth1/v1/access_token", source_id, body, idempotency_key))


def _begin(path: str, source_id: str, body: Mapping[str, object]) -> Ask[Redirect]:
    headers = {_SOURCE: identified(IdKind.SOURCE, source_id, "source_id")}
    return Ask(Call("POST", path, body=body, headers=headers), whole(Redirect))


def _finish(path: str, source_id: str, body: Mapping[str, object], idempotency_key: str | None) -> Ask[Authorized]:
    headers = {_SOURCE: identified(IdKind.SOURCE, source_id, "source_id")}
    return creating(Authorized, path, body, idempotency_key, bare=True, headers=headers)
