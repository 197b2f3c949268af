"""The domain's values as the JSON of the contract, members in its order."""

from datetime import datetime
from typing import Any

import orjson
from starlette.responses import Response

from tokenkeep.application.auditing import AuditRecord
from tokenkeep.application.redeem_result import ShownSession
from tokenkeep.application.release_custody import ReleasedCredentials
from tokenkeep.application.vend_token import VendedToken
from tokenkeep.domain.account import AccountView, AuthType
from tokenkeep.domain.api_key import ApiKey
from tokenkeep.domain.attempt import AttemptRecord
from tokenkeep.domain.connect_session import ConnectSession
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.events import rfc3339
from tokenkeep.domain.ids import IdKind, format_id
from tokenkeep.domain.source import Source
from tokenkeep.providers.account_properties import missing_properties
from tokenkeep.providers.capabilities import capabilities
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.schemas import (
    account_schema,
    credential_schema,
    options_schema,
    property_schema,
    required_credentials,
)

JSON_TYPE = "application/json"


def data(value: Any, status: int = 200) -> Response:
    """The answer `{"data": …}`."""
    return Response(encoded(value), status, media_type=JSON_TYPE)


def encoded(value: Any) -> bytes:
    """`{"data": …}` as it is sent."""
    return orjson.dumps({"data": value})


def bare(value: Any) -> Response:
    """The answer without `data` around it."""
    return Response(orjson.dumps(value), media_type=JSON_TYPE)


def page(items: list[Any], next_cursor: str | None) -> Response:
    """The answer `{"data": […], "next_cursor": …}`."""
    return Response(orjson.dumps({"data": items, "next_cursor": next_cursor}), media_type=JSON_TYPE)


def account(view: AccountView, catalogue: Catalogue) -> dict[str, Any]:
    """An account, credentials aside. `missing` names what it lacks as a source's `account_schema` names what it needs."""
    it = view.account
    disabled, error = it.disabled, it.last_error
    return {
        "id": format_id(IdKind.ACCOUNT, it.id),
        "source_id": format_id(IdKind.SOURCE, it.source_id),
        "provider": it.provider,
        "environment": it.environment,
        "external_id": it.external_id,
        "external_id_verified": it.external_id_verified,
        "metadata": view.metadata,
        "properties": view.properties,
        "auth_type": it.auth_type.value,
        "state": it.state.value,
        "authenticated": view.authenticated,
        "missing": _missing(view, catalogue),
        "disabled": None
        if disabled is None
        else {
            "reason": disabled.reason.value,
            "detail": disabled.detail,
            "at": rfc3339(disabled.at),
            "by": disabled.by,
        },
        "health": it.health.value,
        "custody": it.custody.value,
        "scopes": view.scopes,
        "expires_at": _time(view.expires_at),
        "refresh_token_expires_at": _time(view.refresh_token_expires_at),
        "last_refreshed_at": _time(view.last_refreshed_at),
        "next_refresh_at": _time(view.next_refresh_at),
        "consecutive_failures": view.consecutive_failures,
        "in_doubt": None
        if view.in_doubt is None
        else {"since": rfc3339(view.in_doubt.since), "presentations": view.in_doubt.presentations},
        "last_error": None
        if error is None
        else {"reason": error.reason.value, "http_status": error.http_status, "at": rfc3339(error.at)},
        "verification": None
        if view.verification is None
        else {
            "result": view.verification.result.value,
            "code": view.verification.code,
            "at": rfc3339(view.verification.at),
        },
        "created_at": rfc3339(view.created_at),
        "updated_at": rfc3339(view.updated_at),
    }


def _missing(view: AccountView, catalogue: Catalogue) -> list[str]:
    try:
        entry = catalogue.get(view.account.provider)
    except NotFound:
        return []  # this process does not know what such accounts need
    properties = [f"properties.{name}" for name in missing_properties(entry, view.properties)]
    if view.generation is not None:
        return properties
    return [*required_credentials(entry, source_has_client=view.source_has_client), *properties]


def credentials(vended: VendedToken) -> dict[str, Any]:
    """The member `credentials` of an account, by its kind."""
    fields = {name: secret.reveal() for name, secret in vended.fields.items()}
    match vended.auth_type:
        case AuthType.OAUTH2:
            return {
                "oauth_access_token": fields["access_token"],
                "token_type": vended.token_type,
                "expires_at": _time(vended.expires_at),
                "scopes": vended.scopes,
            }
        case AuthType.OAUTH1:
            return {**fields, "oauth_consumer_key": vended.client_id}
        case AuthType.API_KEY | AuthType.BASIC | AuthType.BEARER | AuthType.CUSTOM:
            return fields


def token(vended: VendedToken, account_url: str) -> dict[str, Any]:
    """What `POST …/token` gives. `account_url` is the account's own address, where its requests can be signed."""
    request = vended.request
    document: dict[str, Any] = {
        "access_token": None if vended.access_token is None else vended.access_token.reveal(),
        "token_type": vended.token_type or (None if vended.access_token is None else "Bearer"),
        "expires_at": _time(vended.expires_at),
        "scopes": vended.scopes,
        "headers": request.headers,
        "refreshed": vended.refreshed,
    }
    if request.query:
        document["query"] = request.query
    if request.path is not None:
        document["path"] = request.path
    if request.is_signed:
        document["sign_url"] = f"{account_url}/sign"
    return document


def released(it: ReleasedCredentials) -> dict[str, Any]:
    """What `POST …/release` gives."""
    document: dict[str, Any] = {
        "refresh_token": it.refresh_token.reveal(),
        "access_token": it.access_token.reveal(),
        "expires_at": _time(it.expires_at),
        "scopes": it.scopes,
        "confirm_before": rfc3339(it.confirm_before),
    }
    return {**document, "in_doubt": True} if it.in_doubt else document


def source(it: Source, catalogue: Catalogue) -> dict[str, Any]:
    """A source. `account_schema` is null where this process does not know the provider any more."""
    try:
        needs = account_schema(catalogue.get(it.provider), source_has_client=it.client_id is not None)
    except NotFound:
        needs = None
    return {
        "id": format_id(IdKind.SOURCE, it.id),
        "environment": it.environment,
        "provider": it.provider,
        "name": it.name,
        "auth_type": it.auth_type.value,
        "client_id": it.client_id,
        "scopes": it.scopes,
        "options": it.options,
        "account_schema": needs,
        "state": it.state.value,
        "paused_reason": it.paused_reason,
        "proving": it.proving,
        "paused_at": _time(it.paused_at),
        "has_hook_secret": it.has_hook_secret,
        "created_at": rfc3339(it.created_at),
        "updated_at": rfc3339(it.updated_at),
    }


def provider(it: Provider) -> dict[str, Any]:
    """An entry of the catalogue."""
    return {
        "slug": it.slug,
        "name": it.name,
        "auth_type": it.auth_type.value,
        "grant": it.grant.value if it.auth_type is AuthType.OAUTH2 else None,
        "categories": it.categories,
        "notes": it.notes,
        "docs": it.docs,
        "confidence": it.confidence.value,
        "documented_fields": it.documented_fields,
        "recalled_fields": it.recalled_fields,
        "origin": it.origin,
        "capabilities": capabilities(it),
        "credential_schema": credential_schema(it),
        "property_schema": property_schema(it),
        "options_schema": options_schema(it),
    }


def attempt(it: AttemptRecord) -> dict[str, Any]:
    """An entry of the refresh journal."""
    return {
        "id": format_id(IdKind.ATTEMPT, it.id),
        "account_id": format_id(IdKind.ACCOUNT, it.account_id),
        "trigger": it.trigger.value,
        "outcome": None if it.outcome is None else it.outcome.value,
        "reason": None if it.reason is None else it.reason.value,
        "http_status": it.http_status,
        "error_code": it.error_code,
        "presented_generation": it.presented_generation,
        "presentations": it.presentations,
        "resolution": None if it.resolution is None else it.resolution.value,
        "correlation_id": it.correlation_id,
        "due_at": _time(it.due_at),
        "sent_at": _time(it.sent_at),
        "settled_at": _time(it.settled_at),
    }


def new_connect_session(it: ConnectSession, url: str) -> dict[str, Any]:
    """A connect session as it is shown once."""
    return {"id": format_id(IdKind.SESSION, it.id), "url": url, "expires_at": rfc3339(it.expires_at)}


def connect_session(shown: ShownSession) -> dict[str, Any]:
    """How a connect session stands."""
    it = shown.session
    return {
        "id": format_id(IdKind.SESSION, it.id),
        "source_id": format_id(IdKind.SOURCE, it.source_id),
        "account_id": None if it.account_id is None else format_id(IdKind.ACCOUNT, it.account_id),
        "state": it.state_at(shown.now).value,
        "failure_code": None if it.failure is None else it.failure.value,
        "result_verified": shown.result_verified,
        "created_at": rfc3339(it.created_at),
        "expires_at": rfc3339(it.expires_at),
    }


def api_key(it: ApiKey) -> dict[str, Any]:
    """An API key, without the key itself."""
    return {
        "id": format_id(IdKind.API_KEY, it.id),
        "name": it.name,
        "environment": it.environment,
        "scopes": sorted(scope.value for scope in it.scopes),
        "hint": it.hint,
        "created_at": rfc3339(it.created_at),
        "expires_at": _time(it.expires_at),
        "last_used_at": _time(it.last_used_at),
    }


def audit(it: AuditRecord) -> dict[str, Any]:
    """An entry of the audit trail."""
    return {
        "at": rfc3339(it.at),
        "actor": it.actor,
        "action": it.action,
        "target": it.target,
        "address": it.address,
        "result": it.result,
        "count": it.count,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
