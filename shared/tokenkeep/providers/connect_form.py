"""The form by which an end user brings an account's credentials: what it asks, and how what was filled in is read.

Fields are named as problems name them: `credentials.` or `properties.`, and the name.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.credential import StaticCredentials
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.account_properties import account_properties
from tokenkeep.providers.authorization_request import fits
from tokenkeep.providers.credential_fields import (
    LONGEST,
    CredentialForm,
    form_at,
    read_field,
    read_fields,
    read_machine,
    with_requirements,
)
from tokenkeep.providers.entry import CredentialField, Grant, Property, Provider
from tokenkeep.providers.machine_credentials import MachineCredentials
from tokenkeep.providers.rules import ClientAuth

CREDENTIAL: Final = "credentials."
PROPERTY: Final = "properties."

_LONGEST_PROPERTY: Final = 1_024
_EMPTY_IS_FINE: Final = "Leave it empty if you were given none."
_KEY: Final = "private_key"
_KEY_HELP: Final = "PEM or JWK. The whole key file of a Google service account is fine too; then leave the rest empty."
_LONG_SECRETS: Final = frozenset({ClientAuth.PRIVATE_KEY_JWT, ClientAuth.TLS, ClientAuth.SELF_SIGNED_TLS})


class Slip(StrEnum):
    """What is wrong with a value that the user filled in."""

    MISSING = "missing"
    MISFIT = "misfit"


@dataclass(frozen=True, slots=True)
class Asked:
    """One field. `further`: most people have nothing to put there. `lines`: what belongs there may have several."""

    name: str
    title: str
    help: str | None
    secret: bool
    required: bool
    further: bool
    lines: bool
    longest: int


@dataclass(frozen=True, slots=True)
class ConnectForm:
    """What an account's end user is asked: credentials, and what is not known yet of its properties."""

    provider: Provider
    credentials: CredentialForm
    properties: tuple[Property, ...]

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Its fields: where the account lies, what it takes to get in, and at last what few have."""
        fields = [*map(_asked_property, self.properties), *self._asked_credentials()]
        return tuple(sorted(fields, key=lambda it: it.further))

    def _asked_credentials(self) -> Iterator[Asked]:
        for it in self.credentials.fields.values():
            may_be_empty = it.required and it.name in self.credentials.may_be_empty
            # A key file names its issuer.
            elsewhere = it.name == "issuer" and _KEY in self.credentials.required
            yield Asked(
                name=f"{CREDENTIAL}{it.name}",
                title=it.title,
                help=it.help or (_EMPTY_IS_FINE if may_be_empty else None),
                secret=it.secret,
                required=it.required and not may_be_empty and not elsewhere,
                further=not it.required,
                lines=it.lines,
                longest=LONGEST,
            )


@dataclass(frozen=True, slots=True)
class Filled:
    """What a form that was filled in well says."""

    credentials: StaticCredentials | MachineCredentials
    properties: Mapping[str, str]


def brings_credentials(provider: Provider) -> bool:
    """Whether accounts of this provider come with credentials that somebody has in hand, not by a consent at the provider."""
    match provider.auth_type:
        case AuthType.OAUTH2:
            return provider.grant.is_machines
        case AuthType.OAUTH1:
            return False
        case AuthType.API_KEY | AuthType.BASIC | AuthType.BEARER | AuthType.CUSTOM:
            return True


def check_has_form(provider: Provider, *, source_has_client: bool) -> None:
    """See that a form can ask for the credentials of a source's accounts.

    Raises:
        InvalidInput: The source itself is what its accounts prove themselves with, so that whoever fills in the form would
            prove nothing; or nobody says what to ask.
    """
    if provider.auth_type is AuthType.OAUTH2 and source_has_client:
        detail = "its accounts prove themselves with the source's own client, so there is nothing that their users could bring"
        raise InvalidInput("source_id", detail)
    form = form_at(provider, source_has_client=source_has_client)
    if form is None or not form.fields:
        raise InvalidInput("source_id", f"{provider.slug} names no credentials that a page could ask for")


def connect_form(provider: Provider, options: Mapping[str, Any], known: Mapping[str, str]) -> ConnectForm:
    """The form for an account of a source with these options. `known` are the properties that need not be asked."""
    form = form_at(provider, source_has_client=False)
    assert form is not None  # noqa: S101 - `check_has_form` has seen it
    if provider.auth_type is AuthType.OAUTH2:
        form = _of_machine(provider, options, form)
    missing = tuple(
        it for it in account_properties(provider) if it.required and it.default is None and not known.get(it.name)
    )
    return ConnectForm(provider, form, missing)


def _of_machine(provider: Provider, options: Mapping[str, Any], form: CredentialForm) -> CredentialForm:
    said = options.get("token_endpoint_auth_method") or provider.token_endpoint_auth_method
    method = ClientAuth(said or ClientAuth.BASIC)
    fields = dict(form.fields)
    fields["client_secret"] = replace(fields["client_secret"], lines=method in _LONG_SECRETS)
    if provider.grant is Grant.JWT_BEARER:
        fields[_KEY] = replace(fields[_KEY], help=_KEY_HELP)
    form = replace(form, fields=fields)
    needs_secret = provider.grant is Grant.CLIENT_CREDENTIALS and method is not ClientAuth.NONE
    return with_requirements(form, "client_secret") if needs_secret else form


def read_form(form: ConnectForm, given: Mapping[str, Secret]) -> Filled | Mapping[str, Slip]:
    """What was filled in, or by field what is wrong with it. What the form does not ask counts as not filled in."""
    texts = {it.name: _clean(form, it, given.get(it.name, Secret(""))) for it in form.asked}
    slips = {it.name: wrong for it in form.asked if (wrong := _slip(form, it, texts[it.name])) is not None}
    if slips:
        return slips
    try:
        credentials = _credentials(form, _members(form, texts))
    except InvalidInput as fault:
        field = named_field(form, fault.field) or f"{CREDENTIAL}{next(iter(form.credentials.fields))}"
        return {field: Slip.MISFIT if texts[field] else Slip.MISSING}
    return Filled(credentials, {it.name: texts[f"{PROPERTY}{it.name}"].reveal() for it in form.properties})


def named_field(form: ConnectForm, field: str) -> str | None:
    """The field of the form at which a fault is shown that is about `field`; None when it is nothing that was asked."""
    if any(it.name == field for it in form.asked):
        return field
    if field.partition(".")[0] != "credentials":
        return None
    # What a key file says besides is a fault of that file's; what is said of all of them stands at the first.
    name = _KEY if _KEY in form.credentials.fields else next(iter(form.credentials.fields))
    return f"{CREDENTIAL}{name}"


def _slip(form: ConnectForm, asked: Asked, text: Secret) -> Slip | None:
    if not text:
        return Slip.MISSING if asked.required else None
    name = asked.name.partition(".")[2]
    if asked.name.startswith(PROPERTY):
        wanted = next(it for it in form.properties if it.name == name)
        return None if fits(wanted, text.reveal()) else Slip.MISFIT
    try:
        read_field(form.credentials, name, text.reveal())
    except InvalidInput:
        return Slip.MISFIT
    return None


def _members(form: ConnectForm, texts: Mapping[str, Secret]) -> Mapping[str, str]:
    """The credentials as `POST /v1/accounts` takes them: without what was left empty, unless it is wanted all the same."""
    fields = form.credentials.fields.values()
    filled = {it.name: texts[f"{CREDENTIAL}{it.name}"].reveal() for it in fields}
    return {it.name: filled[it.name] for it in fields if filled[it.name] or _may_be_empty(form, it)}


def _may_be_empty(form: ConnectForm, field: CredentialField) -> bool:
    return field.required and field.name in form.credentials.may_be_empty


def _credentials(form: ConnectForm, members: Mapping[str, str]) -> StaticCredentials | MachineCredentials:
    if form.provider.auth_type is AuthType.OAUTH2:
        return read_machine(form.provider, _with_key_file(members), source_has_client=False)
    if not members:
        raise InvalidInput("credentials", "is empty")
    return StaticCredentials(read_fields(form.credentials, members))


def _with_key_file(members: Mapping[str, str]) -> Mapping[str, Any]:
    """The members, those of a Google service account's key file among them if that is what stands in the key's place."""
    text = members.get(_KEY, "")
    if not text.startswith("{"):
        return members
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return members
    if not isinstance(document, dict) or "client_email" not in document:
        return members
    return {**document, **{name: it for name, it in members.items() if name != _KEY}}


def _clean(form: ConnectForm, asked: Asked, given: Secret) -> Secret:
    """The text without what copying adds around it. A password's blanks are its own. Browsers send CRLF (HTML, 4.10.22.4)."""
    text = given.reveal().replace("\r\n", "\n")
    is_password = form.provider.auth_type is AuthType.BASIC and asked.name == f"{CREDENTIAL}password"
    return Secret(text if is_password else text.strip())


def _asked_property(it: Property) -> Asked:
    example = None if it.example is None else f"For example {it.example}"
    return Asked(
        name=f"{PROPERTY}{it.name}",
        title=it.title,
        help=it.help or example,
        secret=False,
        required=True,
        further=False,
        lines=False,
        longest=_LONGEST_PROPERTY,
    )
