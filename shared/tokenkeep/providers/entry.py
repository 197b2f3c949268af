"""An entry of the catalogue: protocol facts about one provider, and where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tokenkeep.domain.account import AuthType
from tokenkeep.providers.hook_rules import ProviderHooks
from tokenkeep.providers.meaning import AnswerRule


class Grant(StrEnum):
    """How an OAuth 2 client comes by its tokens (RFC 6749, section 1.3; RFC 7523, section 2.1)."""

    AUTHORIZATION_CODE = "authorization_code"
    CLIENT_CREDENTIALS = "client_credentials"
    JWT_BEARER = "jwt_bearer"

    @property
    def is_machines(self) -> bool:
        """Whether no user takes part: tokens are had by what a machine proves itself with, as often as one likes."""
        return self is not Grant.AUTHORIZATION_CODE


class RequestFormat(StrEnum):
    """How the body of a token request is written."""

    FORM = "form"
    JSON = "json"


class RequestMethod(StrEnum):
    """How a token request is made. With GET its parameters, secrets among them, stand in the query."""

    POST = "POST"
    GET = "GET"


class Presented(StrEnum):
    """What a refresh presents: a refresh token, the long-lived access token that it exchanges for a new one, or a machine's own.

    The last one follows from the grant; no file and no option says it.
    """

    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - RFC 6749's name of a thing
    ACCESS_TOKEN = "access_token"  # noqa: S105 - as above
    MACHINE_CREDENTIALS = "machine_credentials"


class AssertionPlacement(StrEnum):
    """Where a request carries the assertion that is its grant: among the parameters (RFC 7523, section 2.1), or as a bearer token."""

    FORM = "form"
    BEARER = "bearer"


class Confidence(StrEnum):
    """How an entry was established: read in the provider's documentation, in public code, or from memory alone."""

    DOCUMENTED = "documented"
    SOURCE = "source"
    RECALLED = "recalled"


class Holder(StrEnum):
    """Who has a property: each account its own, or the source one for all of its accounts."""

    ACCOUNT = "account"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Property:
    """Something that stands in a provider's addresses as `{name}` and differs from account to account, or source to source.

    A value counts only if the pattern matches all of it, so that it can't lead an address to another place.
    """

    name: str
    pattern: str
    title: str
    default: str | None = None
    required: bool = True
    holder: Holder = Holder.ACCOUNT
    example: str | None = None
    help: str | None = None


@dataclass(frozen=True, slots=True)
class CredentialField:
    """A field of the credentials that an account of an API-key, Basic or custom provider is made of.

    `help` tells people what it is or where it is found, `lines` that it has several, as a key in PEM has.
    """

    name: str
    title: str
    secret: bool = True
    required: bool = True
    pattern: str | None = None
    help: str | None = None
    lines: bool = False


@dataclass(frozen=True, slots=True)
class Verification:
    """The cheap authenticated request that shows whether credentials work, and whose they are.

    `external_id` is a path to an id of the provider's account that never changes (`user.id`, `data[0].id`, `team + user`);
    None where the answer holds none. `body` is JSON text. `assumed`: it is known from memory alone, or from the server's metadata,
    so nobody has shown that every grant of a source may make it; then a bare 401 proves nothing.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    external_id: str | None = None
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """What the catalogue knows of a provider. None means not established, never no.

    Many members have the names of a source's options (`fields`), which outrank them.
    `old_refresh_grace_answer` is what a replaced refresh token yields inside its grace: the `same` successor once more, or a
    new one that outdates it (`newest`). `confirm_revocation_s` above 0 is for providers that are known to call living grants
    dead now and then: they are asked a second time, so many seconds later, before an account is disabled.
    `access_token_path` is where the access token lies in an answer, when neither at the top nor in a usual wrapper.
    `token_external_id_path` is where the answer itself names the provider's account. `token_headers` are sent with every token
    request; `token_param_names` are the provider's names for standard parameters.
    `refresh_token_ttl_s` is the refresh token's life from its issue, which no use of the same token renews;
    `refresh_token_idle_ttl_s` is how long it may lie unused, and each use renews that. `refresh_not_before_expiry_s`: a refresh is
    refused while the access token has more than so many seconds left.
    `refresh_rate_per_min`, `refresh_burst` and `refresh_concurrency` are how many token requests one client may make: each minute, at once
    after a while of none, at the same time. With `provider_` they are about all clients together.
    `refresher` names the installed code that refreshes (`domain.refresher`), if the token endpoint is not simply asked.
    `refresh_with` says what a refresh presents. `gives_refresh_token` False: there is none, and nothing to refresh.
    `single_active_access_token`: a refresh ends the former access token at once. `signed_token_requests`: the provider wants token
    requests signed in a way of its own, which takes a hook.
    `hooks` says how the notices are signed and read that it sends by itself.
    `credentials_help` tells end users where they find what the form for their credentials asks.
    The `assertion_` members are about the assertions of the grant `jwt_bearer`: further claims, and how long one is good for.
    """

    slug: str
    name: str
    auth_type: AuthType
    docs: tuple[str, ...] = ()
    confidence: Confidence = Confidence.RECALLED
    documented_fields: tuple[str, ...] = ()
    recalled_fields: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    notes: str | None = None
    origin: str = "built-in"
    grant: Grant = Grant.AUTHORIZATION_CODE
    issuer: str | None = None
    authorization_response_iss_parameter_supported: bool | None = None
    authorization_url: str | None = None
    token_url: str | None = None
    refresh_url: str | None = None
    revocation_url: str | None = None
    revocation_method: str | None = None
    revocation_format: str | None = None
    revocation_token: str | None = None
    revocation_auth: str | None = None
    revocation_params: Mapping[str, str] = field(default_factory=dict)
    introspection_url: str | None = None
    token_endpoint_auth_method: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ()
    token_endpoint_auth_signing_alg: str | None = None
    token_endpoint_auth_signing_kid: str | None = None
    token_endpoint_auth_audience: str | None = None
    assertion_placement: AssertionPlacement | None = None
    assertion_claims: Mapping[str, str] = field(default_factory=dict)
    assertion_ttl_s: int | None = None
    pkce: str | None = None
    scope_separator: str | None = None
    refresh_rotates: str | None = None
    old_refresh_grace_s: int | None = None
    old_refresh_grace_answer: str | None = None
    reuse_detection: str | None = None
    confirm_revocation_s: int | None = None
    access_token_ttl_s: int | None = None
    refresh_token_ttl_s: int | None = None
    refresh_token_idle_ttl_s: int | None = None
    refresh_not_before_expiry_s: int | None = None
    refresh_rate_per_min: int | None = None
    refresh_burst: int | None = None
    refresh_concurrency: int | None = None
    provider_rate_per_min: int | None = None
    provider_burst: int | None = None
    provider_concurrency: int | None = None
    gives_refresh_token: bool | None = None
    single_active_access_token: bool | None = None
    signed_token_requests: bool = False
    token_request_format: RequestFormat | None = None
    token_request_method: RequestMethod | None = None
    refresh_request_method: RequestMethod | None = None
    token_headers: Mapping[str, str] = field(default_factory=dict)
    token_param_names: Mapping[str, str] = field(default_factory=dict)
    refresh_with: Presented | None = None
    refresher: str | None = None
    token_params: Mapping[str, str] = field(default_factory=dict)
    refresh_params: Mapping[str, str] = field(default_factory=dict)
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    offline_scopes: tuple[str, ...] = ()
    access_token_path: str | None = None
    token_external_id_path: str | None = None
    answers: tuple[AnswerRule, ...] = ()
    placeholders: tuple[Property, ...] = ()
    verification: Verification | None = None
    revocation_event: str | None = None
    hooks: ProviderHooks | None = None
    request_token_url: str | None = None
    access_token_url: str | None = None
    signature_method: str | None = None
    key_placement: str | None = None
    basic_username: str | None = None
    basic_password: str | None = None
    request_headers: Mapping[str, str] = field(default_factory=dict)
    request_query: Mapping[str, str] = field(default_factory=dict)
    credential_fields: tuple[CredentialField, ...] = ()
    credentials_help: str | None = None

    @property
    def is_generic(self) -> bool:
        """Whether this is a kind of provider, which its source makes a certain one, and so its name tells users nothing."""
        return "generic" in self.categories

    @property
    def presents_nothing(self) -> bool:
        """Whether accounts of this provider hold nothing that could be spent to renew them."""
        renews = self.grant.is_machines or self.refresh_with is Presented.ACCESS_TOKEN
        return self.gives_refresh_token is False and not renews
