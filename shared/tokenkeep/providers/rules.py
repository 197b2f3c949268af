"""The rules by which one source's OAuth 2 token endpoint is spoken to and understood."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from tokenkeep.domain.rotation import Rotation, RotationKind
from tokenkeep.providers.entry import (
    AssertionPlacement,
    Grant,
    Presented,
    Property,
    RequestFormat,
    RequestMethod,
    Verification,
)
from tokenkeep.providers.meaning import AnswerRule
from tokenkeep.providers.revocation_way import RevocationWay


class ClientAuth(StrEnum):
    """How the client proves itself at the token endpoint (RFC 7591, section 2; RFC 8705; OpenID Connect Core 1.0, section 9)."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"
    NONE = "none"
    SECRET_JWT = "client_secret_jwt"  # noqa: S105 - the name of a method
    PRIVATE_KEY_JWT = "private_key_jwt"
    TLS = "tls_client_auth"
    SELF_SIGNED_TLS = "self_signed_tls_client_auth"


class Pkce(StrEnum):
    """What the provider makes of PKCE (RFC 7636)."""

    REQUIRED = "required"
    SUPPORTED = "supported"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class AssertionRules:
    """What a client's assertions must be like (RFC 7523), where that was said: None is the usual."""

    algorithm: str | None = None
    key_id: str | None = None
    audience: str | None = None


@dataclass(frozen=True, slots=True)
class GrantAssertionRules:
    """What the assertions are like that are themselves a grant (RFC 7523, section 2.1). Claims may hold placeholders."""

    placement: AssertionPlacement = AssertionPlacement.FORM
    claims: Mapping[str, str] = field(default_factory=dict)
    life: timedelta = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class OAuth2Rules:
    """A provider's entry with a source's options laid over it.

    URLs may hold placeholders in braces; `token_request.fill` puts an account's properties in their place, or those that
    the source holds for all of them (`source_properties`). `refresh_url` is always set, to `token_url` where the provider
    has only one. `access_token_ttl_s` is the usual life in seconds, None if unknown; `refresh_token_ttl_s`
    is the refresh token's from its issue, `refresh_token_idle_ttl_s` from its last use. `refresh_not_before_expiry_s`: a refresh is
    refused while more of the access token's life is left.
    `confirm_revocation` above zero: an `invalid_grant` is believed when it is said again after so long. `param_names` are the
    provider's names for standard parameters. With the method GET there is no body, so `request_format` is of no account.
    """

    token_url: str
    refresh_url: str
    client_auth: ClientAuth = ClientAuth.BASIC
    grant: Grant = Grant.AUTHORIZATION_CODE
    assertion: AssertionRules = AssertionRules()
    grant_assertion: GrantAssertionRules = GrantAssertionRules()
    request_format: RequestFormat = RequestFormat.FORM
    request_method: RequestMethod = RequestMethod.POST
    refresh_method: RequestMethod | None = None
    token_headers: Mapping[str, str] = field(default_factory=dict)
    param_names: Mapping[str, str] = field(default_factory=dict)
    presented: Presented = Presented.REFRESH_TOKEN
    token_params: Mapping[str, str] = field(default_factory=dict)
    refresh_params: Mapping[str, str] = field(default_factory=dict)
    placeholders: tuple[Property, ...] = ()
    source_properties: Mapping[str, str] = field(default_factory=dict)
    scope_separator: str = " "
    pkce: Pkce = Pkce.SUPPORTED
    rotation: Rotation = Rotation(RotationKind.STRICT_REVOKE)  # noqa: RUF009 - a frozen value
    confirm_revocation: timedelta = timedelta(0)
    access_token_ttl_s: int | None = None
    refresh_token_ttl_s: int | None = None
    refresh_token_idle_ttl_s: int | None = None
    refresh_not_before_expiry_s: int | None = None
    access_token_path: str | None = None
    answers: tuple[AnswerRule, ...] = ()
    issuer: str | None = None
    authorization_url: str | None = None
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    offline_scopes: tuple[str, ...] = ()
    revocation: RevocationWay | None = None
    introspection_url: str | None = None
    verification: Verification | None = None
    token_external_id_path: str | None = None
    refresher: str | None = None
    refresh_callout_url: str | None = None

    @property
    def is_hooked(self) -> bool:
        """Whether somebody else refreshes: a refresher, or who answers the callout. At most one of the two is set."""
        return self.refresher is not None or self.refresh_callout_url is not None

    @property
    def idle_life(self) -> timedelta | None:
        """How long a refresh token may lie unused before it dies; None when nobody says that it may not."""
        seconds = self.refresh_token_idle_ttl_s
        return None if seconds is None else timedelta(seconds=seconds)

    @property
    def refresh_window(self) -> timedelta | None:
        """How long before the access token's end the provider begins to refresh it; None where it always does."""
        seconds = self.refresh_not_before_expiry_s
        return None if seconds is None else timedelta(seconds=seconds)

    @property
    def at_revocation(self) -> "OAuth2Rules":
        """The same rules with the client proving itself as the provider wants it where grants are revoked."""
        method = None if self.revocation is None else self.revocation.client_auth
        return self if method is None else replace(self, client_auth=ClientAuth(method))
