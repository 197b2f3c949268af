"""Credentials in request bodies: of whatever kind the account's provider wants, which is known once its source is."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import PlainValidator, TypeAdapter, ValidationError, WithJsonSchema

from tokenkeep.application.create_account import AuthorizationCode, GivenCredentials
from tokenkeep.application.keep_credentials import LiveTokens
from tokenkeep.domain.account import AuthType
from tokenkeep.domain.credential import StaticCredentials
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.source import Source
from tokenkeep.providers.credential_fields import EXPIRES_AT, credential_form, read_fields, read_machine
from tokenkeep.providers.entry import Grant, Provider
from tokenkeep.providers.schemas import credential_schema
from tokenkeep_api.bodies import TokenCredentials
from tokenkeep_api.fields import moment
from tokenkeep_api.problems import invalid

_MEMBER: Final = "credentials"
_TOKENS: Final[TypeAdapter[Any]] = TypeAdapter(TokenCredentials)


class GivenMembers:
    """The members of an object as they came, which are not shown by accident."""

    __slots__ = ("by_name",)

    def __init__(self, by_name: Mapping[str, Any]) -> None:
        self.by_name = by_name

    def __repr__(self) -> str:
        return "GivenMembers(…)"


def _members(value: object) -> GivenMembers:
    if not isinstance(value, dict):
        msg = "should be an object"
        raise ValueError(msg)  # noqa: TRY004 - pydantic's own idiom
    return GivenMembers(value)


def _kinds() -> list[dict[str, Any]]:
    """What each kind of provider takes, where its entry says nothing more."""
    kinds = [(auth_type.value, Provider("", "", auth_type)) for auth_type in AuthType]
    kinds += [(grant.value, Provider("", "", AuthType.OAUTH2, grant=grant)) for grant in Grant if grant.is_machines]
    shown = [(name, credential_schema(provider)) for name, provider in kinds]
    return [{"title": name, **{k: v for k, v in schema.items() if k != "$schema"}} for name, schema in shown]


CredentialMembers = Annotated[
    GivenMembers,
    PlainValidator(_members),
    WithJsonSchema(
        {
            "type": "object",
            "description": "As the source's `account_schema.credentials` says, which follows from its provider.",
            "anyOf": _kinds(),
        }
    ),
]
"""An object of credentials."""


def read_credentials(provider: Provider, source: Source, given: GivenMembers) -> GivenCredentials:
    """The credentials that are given, as this source's provider wants them.

    Raises:
        InvalidInput: A member is unknown, missing or wrong; the field is `credentials.` and its name.
    """
    members = given.by_name
    if provider.auth_type is AuthType.OAUTH2 and provider.grant.is_machines:
        return read_machine(provider, members, source_has_client=source.client_id is not None)
    form = credential_form(provider)
    if form is None:
        return _tokens(members)
    expires_at = None
    if form.expires and members.get(EXPIRES_AT) is not None:
        try:
            expires_at = moment(members[EXPIRES_AT])
        except ValueError as fault:
            raise InvalidInput(f"{_MEMBER}.{EXPIRES_AT}", str(fault)) from None
    named = {name: value for name, value in members.items() if not (form.expires and name == EXPIRES_AT)}
    return StaticCredentials(read_fields(form, named), expires_at)


def _tokens(members: Mapping[str, Any]) -> LiveTokens | AuthorizationCode:
    try:
        body = _TOKENS.validate_python(members)
    except ValidationError as error:
        problem = invalid(error.errors(include_url=False, include_input=False))
        field = _MEMBER if problem.field in {None, "body"} else f"{_MEMBER}.{problem.field}"
        raise InvalidInput(field, problem.detail) from None
    wanted: LiveTokens | AuthorizationCode = body.wanted()
    return wanted
