"""A source's options: checked against what its provider takes, and laid over the provider's entry."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.rotation import rotation_of
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.fields import API_KEY_FIELDS, OAUTH1_FIELDS, OAUTH2_FIELDS, Field, Url
from tokenkeep.providers.rules import ClientAuth, OAuth2Rules, Pkce


def option_fields(auth_type: AuthType) -> Mapping[str, Field]:
    """The options that sources of this auth type take."""
    match auth_type:
        case AuthType.OAUTH2:
            return OAUTH2_FIELDS
        case AuthType.OAUTH1:
            return OAUTH1_FIELDS
        case AuthType.API_KEY:
            return API_KEY_FIELDS
        case AuthType.BASIC | AuthType.BEARER | AuthType.CUSTOM:
            return {}


def required_options(provider: Provider) -> tuple[str, ...]:
    """The options without which a source of this provider can't work: addresses that its entry does not know."""
    is_open = provider.auth_type is AuthType.OAUTH2 and provider.token_url is None
    return ("token_url",) if is_open else ()


def validate_options(provider: Provider, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, every one known and of the right kind.

    Raises:
        InvalidInput: An option is unknown, wrong or missing; `field` is `options.` and its name.
    """
    fields = option_fields(provider.auth_type)
    for name, value in options.items():
        if name not in fields:
            raise InvalidInput(field=f"options.{name}", detail=f"{provider.slug} has no such option")
        complaint = fields[name].complaint(value)
        if complaint is not None:
            raise InvalidInput(field=f"options.{name}", detail=complaint)
    for name in required_options(provider):
        if name not in options:
            raise InvalidInput(field=f"options.{name}", detail=f"{provider.slug} needs it")
    return dict(options)


def url_options(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every address among validated options with its field, for the check of where it leads."""
    known = {**OAUTH2_FIELDS, **OAUTH1_FIELDS}
    for name, value in options.items():
        if isinstance(known.get(name), Url) and isinstance(value, str):
            yield f"options.{name}", value


def effective_rules(provider: Provider, options: Mapping[str, Any]) -> OAuth2Rules:
    """The rules for a source: its options where it has them, the provider's entry where not, else the careful choice.

    Unknown rotation counts as `sometimes`, unknown reuse detection as `revokes`.

    Raises:
        InvalidInput: Neither knows the token address; the field is `options.token_url`.
    """

    def chosen(name: str) -> Any:
        value = options.get(name)
        return getattr(provider, name) if value is None else value

    token_url = chosen("token_url")
    if token_url is None:
        raise InvalidInput(field="options.token_url", detail=f"{provider.slug} needs it")
    return OAuth2Rules(
        token_url=token_url,
        refresh_url=_refresh_url(provider, options, token_url),
        client_auth=ClientAuth(chosen("token_endpoint_auth_method") or ClientAuth.BASIC),
        request_format=provider.token_request_format,
        refresh_params=provider.refresh_params,
        placeholders=provider.placeholders,
        scope_separator=chosen("scope_separator") or " ",
        pkce=Pkce(chosen("pkce") or Pkce.SUPPORTED),
        rotation=rotation_of(
            rotates=chosen("refresh_rotates") or "sometimes",
            grace=timedelta(seconds=chosen("old_refresh_grace_s") or 0),
            reuse=chosen("reuse_detection") or "unknown",
            successor=chosen("old_refresh_grace_answer") or "unknown",
        ),
        confirm_revocation=timedelta(seconds=chosen("confirm_revocation_s") or 0),
        access_token_ttl_s=chosen("access_token_ttl_s"),
        access_token_path=provider.access_token_path,
        answers=provider.answers,
        authorization_url=chosen("authorization_url"),
        authorize_params=provider.authorize_params,
        offline_scopes=provider.offline_scopes,
        revocation_url=chosen("revocation_url"),
        introspection_url=chosen("introspection_url"),
        userinfo_url=chosen("userinfo_url"),
        external_id_path=chosen("external_id_path"),
    )


def _refresh_url(provider: Provider, options: Mapping[str, Any], token_url: str) -> str:
    """A source that names its own token address refreshes there too: the entry's belongs to another host."""
    given: str | None = options.get("refresh_url")
    if given is not None:
        return given
    moved = options.get("token_url") is not None
    return token_url if moved else (provider.refresh_url or token_url)
