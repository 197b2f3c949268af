"""A source's options: checked against what its provider takes, and laid over the provider's entry."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.rotation import Rotation, RotationKind, rotation_of
from tokenkeep.providers.entry import (
    AssertionPlacement,
    Grant,
    Presented,
    Provider,
    RequestFormat,
    RequestMethod,
    Verification,
)
from tokenkeep.providers.entry_file import own_names, setting_fields, source_properties
from tokenkeep.providers.field_kinds import Field, Text, Url
from tokenkeep.providers.revocation_way import revocation_way
from tokenkeep.providers.rules import AssertionRules, ClientAuth, GrantAssertionRules, OAuth2Rules, Pkce

_BRACES = re.compile(r"\{([^{}]*)\}")

DISCOVERY_URL = "discovery_url"
"""The option that fills others from the server's own metadata (RFC 8414, OpenID Connect Discovery)."""

_ASSERTION_TTL_S = 120
_SECOND_LOOK = timedelta(minutes=1)

CALLOUT_URL = "refresh_callout_url"
"""The option that has refreshes made by an address of the developer's own."""

_DISCOVERY: Mapping[str, Field] = {DISCOVERY_URL: Url()}


def option_fields(provider: Provider) -> Mapping[str, Field]:
    """The options that sources of this provider take: settings of its auth type, and properties that sources hold."""
    settings = setting_fields(provider.auth_type)
    discovery = _DISCOVERY if provider.auth_type is AuthType.OAUTH2 else {}
    held = {it.name: Text(it.pattern, f"a text that matches {it.pattern}") for it in source_properties(provider)}
    return {**settings, **discovery, **held}


def required_options(provider: Provider) -> tuple[str, ...]:
    """The options without which a source of this provider can't work: what its entry does not know."""
    is_open = provider.auth_type is AuthType.OAUTH2 and provider.token_url is None
    held = (it.name for it in source_properties(provider) if it.required and it.default is None)
    return ("token_url", *held) if is_open else tuple(held)


def validate_options(provider: Provider, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, every one known and of the right kind, and none missing.

    Raises:
        InvalidInput: An option is unknown, wrong or missing; `field` is `options.` and its name.
    """
    checked = check_options(provider, options)
    for name in required_options(provider):
        if name not in options:
            raise InvalidInput(field=f"options.{name}", detail=f"{provider.slug} needs it")
    return checked


def check_options(provider: Provider, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, every one known and of the right kind; what is missing may still be found out.

    Raises:
        InvalidInput: An option is unknown or wrong; `field` is `options.` and its name.
    """
    fields = option_fields(provider)
    for name, value in options.items():
        if name not in fields:
            raise InvalidInput(field=f"options.{name}", detail=f"{provider.slug} has no such option")
        fault = fields[name].complaint(value)
        if fault is not None:
            raise InvalidInput(field=fault.within(f"options.{name}"), detail=fault.says)
    _check_braces(provider, options)
    if options.get("refresher") is not None and options.get(CALLOUT_URL) is not None:
        raise InvalidInput(field="options.refresher", detail=f"{CALLOUT_URL} is given already")
    return dict(options)


def _check_braces(provider: Provider, options: Mapping[str, Any]) -> None:
    """What an option's parameters name in braces is there to be filled in; else every request with them would fail."""
    declared = {it.name for it in provider.placeholders}
    for option in ("assertion_claims", "authorize_params", "token_params", "refresh_params", "revocation_params"):
        for name, value in options.get(option, {}).items():
            for used in _BRACES.findall(value):
                if used not in declared | own_names(f"{option}.{name}"):
                    raise InvalidInput(f"options.{option}.{name}", f"{provider.slug} has no property {used!r}")
    for used in _BRACES.findall(options.get("external_id_path", "")):
        if used not in {it.name for it in provider.placeholders}:
            raise InvalidInput("options.external_id_path", f"{provider.slug} has no property {used!r}")


def url_options(provider: Provider, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every address among validated options with its field, for the check of where it leads."""
    fields = option_fields(provider)
    for name, value in options.items():
        if isinstance(fields.get(name), Url) and isinstance(value, str):
            yield f"options.{name}", value
    yield from _filled_addresses(provider, options)


def _filled_addresses(provider: Provider, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The entry's addresses whose hosts the source names, with the option that does."""
    held = {it.name: options.get(it.name, it.default) for it in source_properties(provider)}
    for name, kind in setting_fields(provider.auth_type).items():
        template = getattr(provider, name, None) if isinstance(kind, Url) else None
        used = _BRACES.findall(template or "")
        if template and used and options.get(name) is None and all(held.get(one) for one in used):
            yield f"options.{used[0]}", _BRACES.sub(lambda found: str(held[found[1]]), template)


def effective_rules(provider: Provider, options: Mapping[str, Any]) -> OAuth2Rules:
    """The rules for a source: its options where it has them, the provider's entry where not, else the careful choice.

    Unknown rotation counts as `sometimes`, unknown reuse detection as `revokes`; what an entry has from memory counts as
    unknown here where it would allow more.

    Raises:
        InvalidInput: Neither knows the token address; the field is `options.token_url`.
    """

    def chosen(name: str) -> Any:
        value = options.get(name)
        return getattr(provider, name) if value is None else value

    token_url = chosen("token_url")
    if token_url is None:
        raise InvalidInput(field="options.token_url", detail=f"{provider.slug} needs it")
    presented = _presented(provider.grant, chosen("refresh_with"))
    callout = options.get(CALLOUT_URL)
    refresher = chosen("refresher") if callout is None else None
    hooked = refresher is not None or callout is not None
    if hooked and presented is Presented.MACHINE_CREDENTIALS:
        field = "refresher" if callout is None else CALLOUT_URL
        raise InvalidInput(field=f"options.{field}", detail="a machine presents no refresh token that a hook could")
    return OAuth2Rules(
        token_url=token_url,
        refresh_url=_refresh_url(provider, options, token_url),
        client_auth=ClientAuth(chosen("token_endpoint_auth_method") or ClientAuth.BASIC),
        grant=provider.grant,
        assertion=AssertionRules(
            algorithm=chosen("token_endpoint_auth_signing_alg"),
            key_id=chosen("token_endpoint_auth_signing_kid"),
            audience=chosen("token_endpoint_auth_audience"),
        ),
        grant_assertion=GrantAssertionRules(
            AssertionPlacement(chosen("assertion_placement") or AssertionPlacement.FORM),
            chosen("assertion_claims"),
            timedelta(seconds=chosen("assertion_ttl_s") or _ASSERTION_TTL_S),
        ),
        request_format=RequestFormat(chosen("token_request_format") or RequestFormat.FORM),
        request_method=RequestMethod(chosen("token_request_method") or RequestMethod.POST),
        refresh_method=_method(chosen("refresh_request_method")),
        token_headers=chosen("token_headers"),
        param_names=chosen("token_param_names"),
        presented=presented,
        token_params=chosen("token_params"),
        refresh_params=chosen("refresh_params"),
        placeholders=provider.placeholders,
        source_properties={it.name: options[it.name] for it in source_properties(provider) if it.name in options},
        scope_separator=chosen("scope_separator") or " ",
        pkce=Pkce(chosen("pkce") or Pkce.SUPPORTED),
        rotation=replace(_rotation(provider, options, presented), carried=hooked),
        confirm_revocation=_confirmation(provider.grant, chosen("confirm_revocation_s")),
        access_token_ttl_s=chosen("access_token_ttl_s"),
        # Users are asked to connect again ahead of this end: not because somebody remembers it so.
        refresh_token_ttl_s=_established(provider, options, "refresh_token_ttl_s"),
        refresh_token_idle_ttl_s=chosen("refresh_token_idle_ttl_s"),
        refresh_not_before_expiry_s=provider.refresh_not_before_expiry_s,
        access_token_path=chosen("access_token_path"),
        answers=provider.answers,
        issuer=chosen("issuer"),
        authorization_url=chosen("authorization_url"),
        authorize_params=chosen("authorize_params"),
        offline_scopes=tuple(chosen("offline_scopes")),
        revocation=revocation_way(chosen),
        introspection_url=chosen("introspection_url"),
        verification=verification_of(provider, options),
        token_external_id_path=_token_external_id_path(provider, options),
        refresher=refresher,
        refresh_callout_url=callout,
    )


def _presented(grant: Grant, refresh_with: str | None) -> Presented:
    if grant.is_machines:
        return Presented.MACHINE_CREDENTIALS
    return Presented(refresh_with or Presented.REFRESH_TOKEN)


def _confirmation(grant: Grant, seconds: int | None) -> timedelta:
    """How long after a first refusal a machine is asked about again: that costs it nothing, and a clock may be what is wrong."""
    said = timedelta(seconds=seconds or 0)
    return max(said, _SECOND_LOOK) if grant.is_machines and seconds is None else said


def _method(word: str | None) -> RequestMethod | None:
    return None if word is None else RequestMethod(word)


def _rotation(provider: Provider, options: Mapping[str, Any], presented: Presented) -> Rotation:
    """What a second presentation does. A fact from memory alone never makes us less careful than not knowing would."""
    if presented is not Presented.REFRESH_TOKEN:
        # A long-lived token that is exchanged for a new one goes on living until its own end, and a machine's key is not spent.
        return Rotation(RotationKind.NONE)

    rotates = options.get("refresh_rotates") or provider.refresh_rotates
    if rotates == "no":
        rotates = _established(provider, options, "refresh_rotates")
    return rotation_of(
        rotates=rotates or "sometimes",
        grace=timedelta(seconds=_established(provider, options, "old_refresh_grace_s") or 0),
        reuse=_established(provider, options, "reuse_detection") or "unknown",
        successor=_established(provider, options, "old_refresh_grace_answer") or "unknown",
    )


def is_single_use(provider: Provider, options: Mapping[str, Any]) -> bool:
    """Whether it is established that each refresh spends the token, and that it is refused from then on.

    `effective_rules` assumes as much of every provider of whom nothing is known: careful enough for a refresh, but no ground to
    give a grant up on. Raises as `effective_rules` does.
    """
    kind = effective_rules(provider, options).rotation.kind
    return (
        kind in {RotationKind.STRICT, RotationKind.STRICT_REVOKE}
        and _established(provider, options, "refresh_rotates") == "yes"
        and _established(provider, options, "reuse_detection") in {"revokes", "refuses"}
    )


def _established(provider: Provider, options: Mapping[str, Any], name: str) -> Any:
    """What the source says, else the entry; but nothing that the entry has from memory alone."""
    value = options.get(name)
    if value is None and name not in provider.recalled_fields:
        return getattr(provider, name)
    return value


def verification_of(provider: Provider, options: Mapping[str, Any]) -> Verification | None:
    """The verifying request; a source that names its own address asks that one, plainly."""
    known = provider.verification
    url, path = options.get("userinfo_url"), options.get("external_id_path")
    if url is not None:
        told = None if known is None else known.external_id
        return Verification(url, external_id=path or told, assumed=DISCOVERY_URL in options)
    if known is None:
        return None
    return replace(known, external_id=path or known.external_id, assumed="verify" in provider.recalled_fields)


def _token_external_id_path(provider: Provider, options: Mapping[str, Any]) -> str | None:
    """A source that says where the verifying request names the account wants that id, and not another kind of it."""
    given: str | None = options.get("token_external_id_path")
    if given is not None or options.get("external_id_path") is not None:
        return given
    return provider.token_external_id_path


def _refresh_url(provider: Provider, options: Mapping[str, Any], token_url: str) -> str:
    """A source that names its own token address refreshes there too: the entry's belongs to another host."""
    given: str | None = options.get("refresh_url")
    if given is not None:
        return given
    moved = options.get("token_url") is not None
    return token_url if moved else (provider.refresh_url or token_url)
