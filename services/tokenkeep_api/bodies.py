"""What request bodies say, as pydantic models: every member known, of its kind, and within bounds."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from tokenkeep.application.create_account import AuthorizationCode
from tokenkeep.application.keep_credentials import LiveTokens
from tokenkeep.application.manage_sources import NewSource, SourceChange
from tokenkeep.domain.api_key import Scope
from tokenkeep.domain.errors import InvalidInput
from tokenkeep_api.fields import (
    AccessToken,
    ClientSecret,
    ExternalId,
    Labels,
    Lifetime,
    Line,
    Moment,
    ScopeName,
    SecretText,
    TokenType,
)


class Body(BaseModel):
    """The rules of every body. What was given is never in an error's text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Nothing(Body):
    """A body without members; it may as well be left out."""


class SourceBody(Body):
    """A source to be created. `options` are the provider's own, as `GET /v1/providers/{slug}` lists them.

    OAuth 2 and OAuth 1.0a want a `client_id`; where machines come by their tokens, accounts may bring their own instead. What
    `client_secret` holds depends on the option `token_endpoint_auth_method`: a secret, a key, or a key with certificates; with
    OAuth 1.0a on `signature_method`. `refresh_callout_secret` (`whsec_…`) signs what is posted to the option
    `refresh_callout_url`. With `hook_secret` the provider signs what it sends to `/v1/provider-hooks/{id}`, where it has a secret of
    its own for that.
    """

    provider: Line
    name: Line
    client_id: Line | None = None
    client_secret: ClientSecret | None = None
    scopes: Annotated[list[ScopeName], Field(max_length=200)] = []
    options: dict[str, Any] = {}
    refresh_callout_secret: SecretText | None = None
    hook_secret: SecretText | None = None

    def wanted(self) -> NewSource:
        """The source that is described."""
        return NewSource(
            provider=self.provider,
            name=self.name,
            client_id=self.client_id,
            client_secret=self.client_secret,
            scopes=tuple(dict.fromkeys(self.scopes)),
            options=self.options,
            callout_secret=self.refresh_callout_secret,
            hook_secret=self.hook_secret,
        )


class SourceChangeBody(Body):
    """What of a source is to be changed. `options` are replaced as a whole; null takes a secret away.

    A `hook_secret` that is replaced is still taken for 24 hours.
    """

    name: Line | None = None
    client_id: Line | None = None
    client_secret: ClientSecret | None = None
    scopes: Annotated[list[ScopeName], Field(max_length=200)] | None = None
    options: dict[str, Any] | None = None
    refresh_callout_secret: SecretText | None = None
    hook_secret: SecretText | None = None

    @model_validator(mode="after")
    def _something_given(self) -> Self:
        if not self.model_fields_set:
            raise InvalidInput("body", "names nothing that is to be changed")
        for field in sorted(self.model_fields_set - {"client_secret", "hook_secret", "refresh_callout_secret"}):
            if getattr(self, field) is None:
                raise InvalidInput(field, "can't be null")
        return self

    def wanted(self) -> SourceChange:
        """The change that is described."""
        return SourceChange(
            name=self.name,
            client_id=self.client_id,
            client_secret=self.client_secret,
            drop_secret=self._takes_away("client_secret"),
            scopes=None if self.scopes is None else tuple(dict.fromkeys(self.scopes)),
            options=self.options,
            callout_secret=self.refresh_callout_secret,
            drop_callout_secret=self._takes_away("refresh_callout_secret"),
            hook_secret=self.hook_secret,
            drop_hook_secret=self._takes_away("hook_secret"),
        )

    def _takes_away(self, field: str) -> bool:
        return field in self.model_fields_set and getattr(self, field) is None


class ResumeBody(Body):
    """How a source goes on. It matters after a mass revocation only.

    `confirm_revocations`: the accounts whose revocations were held are disabled; else they are refreshed again, and those
    that were disabled before the pause are enabled.
    """

    confirm_revocations: bool = False


class TokenSetBody(Body):
    """A live token set. Of `expires_at` and `expires_in` (seconds from now) at most one is given."""

    access_token: AccessToken
    refresh_token: SecretText | None = None
    token_type: TokenType = "Bearer"  # noqa: S105 - RFC 6750's name of a scheme
    scopes: Annotated[list[ScopeName], Field(max_length=200)] | None = None
    expires_at: Moment | None = None
    expires_in: Lifetime | None = None
    refresh_token_expires_at: Moment | None = None

    @model_validator(mode="after")
    def _one_expiry(self) -> Self:
        if self.expires_at is not None and self.expires_in is not None:
            raise InvalidInput("credentials.expires_in", "expires_at is given already")
        return self

    def wanted(self) -> LiveTokens:
        """The token set that is described."""
        return LiveTokens(
            access_token=self.access_token,
            refresh_token=self.refresh_token,
            token_type=self.token_type,
            scopes=None if self.scopes is None else tuple(dict.fromkeys(self.scopes)),
            expires_at=self.expires_at,
            expires_in_s=self.expires_in,
            refresh_token_expires_at=self.refresh_token_expires_at,
        )


class AuthorizationCodeBody(Body):
    """An authorization code, exchanged at the source's token endpoint before the account is stored."""

    authorization_code: SecretText
    redirect_uri: Annotated[str, Field(min_length=1, max_length=2048)]
    code_verifier: SecretText | None = None

    def wanted(self) -> AuthorizationCode:
        """The code that is described."""
        return AuthorizationCode(self.authorization_code, self.redirect_uri, self.code_verifier)


def _kind_of_credentials(given: Any) -> str:
    coded = isinstance(given, AuthorizationCodeBody) or (isinstance(given, dict) and "authorization_code" in given)
    return "<code>" if coded else "<tokens>"


TokenCredentials = Annotated[
    Annotated[TokenSetBody, Tag("<tokens>")] | Annotated[AuthorizationCodeBody, Tag("<code>")],
    Discriminator(_kind_of_credentials),
]


class ConnectSessionBody(Body):
    """A connect session to be made: a new account at a source, or an account that exists, to be authorised again.

    With `account_id` the source goes without saying, and `external_id` and `metadata` stay what they are. `properties` that
    the provider needs and that are not given are asked of the user. `scopes` take the place of the source's, where users
    consent at their provider. `return_url` is https, unless its host is one that the operator allows.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source_id": "src_0193e1a4c1c07d0f8f3c7be4a1b2c3d4",
                    "external_id": "user-4711",
                    "metadata": {"plan": "team"},
                    "return_url": "https://app.example.com/settings/integrations",
                },
                {"account_id": "acc_0193e1a4c1c07d0f8f3c7be4a1b2c3d4"},
            ]
        }
    )

    source_id: str | None = None
    account_id: str | None = None
    external_id: ExternalId | None = None
    metadata: Labels | None = None
    properties: Labels | None = None
    return_url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    scopes: Annotated[list[ScopeName], Field(max_length=200)] | None = None


class ApiKeyBody(Body):
    """An API key to be made."""

    name: Line
    environment: str
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=len(Scope))]
    expires_at: Moment | None = None


class TokenWish(Body):
    """What a token must be like. `wait` above 30 seconds counts as 30."""

    min_ttl: Annotated[float, Field(ge=0, le=315_360_000, description="Seconds that it must still be valid.")] = 60
    wait: Annotated[float, Field(ge=0, le=3_600, description="Seconds to wait for a refresh.")] = 10
    force: Annotated[bool, Field(description="Give a token that was refreshed after this call.")] = False
