"""The fields that an account's credentials are made of, for every kind that is not an OAuth 2 token set, and how they are read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.entry import CredentialField, Grant, Provider
from tokenkeep.providers.machine_credentials import SECRETS, MachineCredentials

LONGEST: Final = 32_768
MOST_FIELDS: Final = 50
_LINE: Final = re.compile(r"[^\x00-\x1f\x7f]*")
# A key in PEM has lines.
_LINES: Final = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*")
_TOKEN: Final = r"[\x21-\x7e]+"  # noqa: S105 - what a token consists of (RFC 6749, appendix A.12)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")

EXPIRES_AT: Final = "expires_at"

_CLIENT = (
    CredentialField(
        "client_id", "Client id", secret=False, required=False, help="Of an application of the account's own"
    ),
    CredentialField("client_secret", "Client secret", required=False, help="What that application proves itself with"),
)
_ASSERTION = (
    CredentialField(
        "issuer", "Issuer", secret=False, required=False, help="Who issues the assertions: a service account, say"
    ),
    CredentialField("subject", "Subject", secret=False, required=False, help="Whom the assertions are about"),
    CredentialField("audience", "Audience", secret=False, required=False, help="Whom the assertions are for"),
    CredentialField(
        "private_key", "Private key", required=False, help="The key that signs assertions: PEM or JWK", lines=True
    ),
    CredentialField("key_id", "Key id", secret=False, required=False),
)
_SCOPE = CredentialField("scope", "Scope", secret=False, required=False, help="In the place of the source's scopes")

_GOOGLE: Final = {"client_email": "issuer", "private_key_id": "key_id", "private_key": "private_key"}
_GOOGLE_BESIDES: Final = frozenset({
    "type", "project_id", "client_id", "auth_uri", "token_uri", "auth_provider_x509_cert_url", "client_x509_cert_url",
    "universe_domain",
})  # fmt: skip
"""What else stands in a service account's key file. Where its tokens come from, the source says, and nobody's file."""


@dataclass(frozen=True, slots=True)
class CredentialForm:
    """What credentials of one provider may hold.

    `takes_others`: texts by other names too. `may_be_empty`: fields that may be, though not all at once. `lines`: those that
    may have several.
    """

    fields: Mapping[str, CredentialField]
    expires: bool = False
    takes_others: bool = False
    may_be_empty: frozenset[str] = frozenset()
    lines: frozenset[str] = frozenset()

    @property
    def required(self) -> tuple[str, ...]:
        """The names of those that must be there."""
        return tuple(it.name for it in self.fields.values() if it.required)


def credential_form(provider: Provider) -> CredentialForm | None:
    """The form of the provider's credentials; None for the tokens of users at OAuth 2, which have a form of their own."""
    named = {it.name: it for it in provider.credential_fields}
    match provider.auth_type:
        case AuthType.OAUTH2:
            return _machine_form(provider)
        case AuthType.OAUTH1:
            pair = _fields(
                CredentialField("oauth_token", "Token"), CredentialField("oauth_token_secret", "Token secret")
            )
            return CredentialForm({**pair, **named})
        case AuthType.API_KEY:
            # Some providers want more than the key; where the entry does not name it, it is taken as it comes.
            return CredentialForm({**_fields(CredentialField("api_key", "API key")), **named}, takes_others=not named)
        case AuthType.BASIC:
            # Keys are given as either half, with nothing in the other (RFC 7617 has both); what an entry asks for by name is there.
            unasked = {it for it in ("username", "password") if it not in named or not named[it].required}
            return CredentialForm({**_basic(provider), **named}, may_be_empty=frozenset(unasked))
        case AuthType.BEARER:
            token = CredentialField("access_token", "Token", pattern=_TOKEN)
            return CredentialForm({**_fields(token), **named}, expires=True)
        case AuthType.CUSTOM:
            return CredentialForm(named, takes_others=not named, lines=frozenset(named))


def _machine_form(provider: Provider) -> CredentialForm | None:
    if provider.grant is Grant.AUTHORIZATION_CODE:
        return None
    asserting = _ASSERTION if provider.grant is Grant.JWT_BEARER else ()
    return CredentialForm(_fields(*asserting, *_CLIENT, _SCOPE), lines=SECRETS)


def _basic(provider: Provider) -> Mapping[str, CredentialField]:
    """User name and password: required where the header is made of them, which some providers make of one alone.

    A user name that no password stands beside is a key.
    """
    sides = (provider.basic_username, "{username}"), (provider.basic_password, "{password}")
    used = "".join(usual if said is None else said for said, usual in sides)
    return _fields(
        CredentialField("username", "User name", secret="{password}" not in used, required="{username}" in used),
        CredentialField("password", "Password", required="{password}" in used),
    )


def _fields(*fields: CredentialField) -> dict[str, CredentialField]:
    return {it.name: it for it in fields}


def read_fields(form: CredentialForm, given: Mapping[str, Any]) -> Mapping[str, Secret]:
    """The credentials that are given, field by field.

    Raises:
        InvalidInput: A field is unknown, missing or wrong; it is named as `credentials.` and its name, and never quoted.
    """
    taken: dict[str, Secret] = {}
    for name, value in given.items():
        known = form.fields.get(name)
        if known is None and not (form.takes_others and _NAME.fullmatch(name)):
            raise InvalidInput(f"credentials.{name}", "there is no such member")
        taken[name] = read_field(form, name, value)
    for name in form.required:
        if name not in taken:
            raise InvalidInput(f"credentials.{name}", "is required")
    if form.takes_others and not taken:
        raise InvalidInput("credentials", "is empty")
    if len(taken) > MOST_FIELDS:
        raise InvalidInput("credentials", f"expected {MOST_FIELDS} members at most")
    if form.required and not any(it.reveal() for it in taken.values()):
        raise InvalidInput(f"credentials.{form.required[0]}", "can't all be empty")
    return taken


def read_field(form: CredentialForm, name: str, value: object) -> Secret:
    """One field's text. Raises `InvalidInput`, as `read_fields` does."""
    field, known = f"credentials.{name}", form.fields.get(name)
    has_lines = name in form.lines or (form.takes_others and known is None)
    allowed, says = (_LINES, "control characters but line ends") if has_lines else (_LINE, "control characters")
    if not isinstance(value, str) or len(value) > LONGEST or not allowed.fullmatch(value) or not _is_unicode(value):
        raise InvalidInput(field, f"expected a text of at most {LONGEST} characters without {says}")
    if not value and name not in form.may_be_empty:
        raise InvalidInput(field, "is empty")
    if known is not None and known.pattern is not None and not re.fullmatch(known.pattern, value):
        raise InvalidInput(field, f"expected a text that matches {known.pattern}")
    return Secret(value)


def _is_unicode(text: str) -> bool:
    """Whether an encoding takes it: JSON can spell halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_machine(provider: Provider, given: Mapping[str, Any], *, source_has_client: bool) -> MachineCredentials:
    """A machine's own credentials, also as Google writes them into a service account's key file.

    Raises:
        InvalidInput: As `read_fields`; or something is missing that the source has not either.
    """
    form = _machine_form(provider)
    assert form is not None  # noqa: S101 - the caller has looked at the grant
    if provider.grant is Grant.JWT_BEARER and "client_email" in given:
        given = _from_google(given)
    read = read_fields(form, given)
    _check_client(provider, read, source_has_client=source_has_client)
    return MachineCredentials.of_texts({name: it.reveal() for name, it in read.items()})


def _from_google(given: Mapping[str, Any]) -> Mapping[str, Any]:
    if "private_key" not in given:
        raise InvalidInput("credentials.private_key", "is required")
    return {_GOOGLE.get(name, name): value for name, value in given.items() if name not in _GOOGLE_BESIDES}


def _check_client(provider: Provider, read: Mapping[str, Secret], *, source_has_client: bool) -> None:
    if "client_secret" in read and "client_id" not in read:
        raise InvalidInput("credentials.client_id", "is required beside client_secret")
    if source_has_client:
        return
    if provider.grant is Grant.CLIENT_CREDENTIALS:
        needed = {"client_id"}
    elif read.keys() & {"issuer", "client_id"}:
        needed = {"private_key"}
    else:
        needed = {"issuer", "private_key"}
    for name in sorted(needed - read.keys()):
        raise InvalidInput(f"credentials.{name}", "is required: the source has no client")


def with_requirements(form: CredentialForm, *names: str) -> CredentialForm:
    """The form with more of its fields required."""
    changed = {name: replace(it, required=it.required or name in names) for name, it in form.fields.items()}
    return replace(form, fields=changed)


def form_at(provider: Provider, *, source_has_client: bool) -> CredentialForm | None:
    """The form as it is at a source: what a machine's source has not, its accounts must bring."""
    form = credential_form(provider)
    if form is None or provider.auth_type is not AuthType.OAUTH2 or source_has_client:
        return form
    if provider.grant is Grant.CLIENT_CREDENTIALS:
        return with_requirements(form, "client_id")
    return with_requirements(form, "issuer", "private_key")
