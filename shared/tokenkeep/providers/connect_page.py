"""Whether there is a page on which end users bring an account of a source its credentials."""

from collections.abc import Mapping
from typing import Any, Protocol

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import InvalidInput, TokenkeepError
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.connect_form import brings_credentials, check_has_form
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.oauth1_rules import oauth1_rules
from tokenkeep.providers.options import effective_rules


class Configured(Protocol):
    """A source, as far as it matters here."""

    @property
    def provider(self) -> str:
        """Its slug."""

    @property
    def client_id(self) -> str | None:
        """The source's own client, if it has one."""

    @property
    def options(self) -> Mapping[str, Any]:
        """What the source says differently from its provider's entry."""


def has_page(catalogue: Catalogue, source: Configured) -> bool:
    """Whether there is one. Of a provider that this process does not know, none can be shown."""
    try:
        check_has_page(catalogue.get(source.provider), source)
    except TokenkeepError:
        return False
    return True


def check_has_page(provider: Provider, source: Configured) -> None:
    """See that there is one: a form, or the way to the provider and back.

    Raises:
        InvalidInput: There is none; the field is `source_id`.
    """
    if brings_credentials(provider):
        check_has_form(provider, source_has_client=source.client_id is not None)
        return
    check_leads_users(provider, source)
    if not source.client_id:
        raise InvalidInput("source_id", "the source has no client_id")


def check_leads_users(provider: Provider, source: Configured) -> None:
    """See that the source knows where to send users.

    Raises:
        InvalidInput: It does not; the field is `source_id`.
    """
    if provider.grant.is_machines:
        raise InvalidInput("source_id", "no user takes part where machines come by their tokens")
    missing: str | None = "authorization_url"
    if provider.auth_type is AuthType.OAUTH2:
        missing = None if effective_rules(provider, source.options).authorization_url else missing
    elif provider.auth_type is AuthType.OAUTH1:
        try:
            oauth1_rules(provider, source.options)
            missing = None
        except InvalidInput as fault:
            missing = fault.field.removeprefix("options.")
    if missing is not None:
        raise InvalidInput("source_id", f"the source has no {missing} to send users to")
