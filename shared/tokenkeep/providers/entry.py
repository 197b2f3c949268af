"""An entry of the catalogue: protocol facts about one provider, and where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tokenkeep.domain.account import AuthType
from tokenkeep.providers.meaning import AnswerRule


class RequestFormat(StrEnum):
    """How the body of a token request is written."""

    FORM = "form"
    JSON = "json"


class Confidence(StrEnum):
    """How an entry was established: read in the provider's documentation, in public code, or from memory alone."""

    DOCUMENTED = "documented"
    SOURCE = "source"
    RECALLED = "recalled"


@dataclass(frozen=True, slots=True)
class Property:
    """Something that differs from account to account and stands in a provider's addresses as `{name}`.

    A value counts only if the pattern matches all of it, so that it can't lead an address to another place.
    """

    name: str
    pattern: str
    title: str
    default: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class Provider:
    """What the catalogue knows of a provider. None means not established, never no.

    The members up to `external_id_path` have the names of the options of a source, which outrank them.
    `old_refresh_grace_answer` is what a replaced refresh token yields inside its grace: the `same` successor once more, or a
    new one that outdates it (`newest`). `confirm_revocation_s` above 0 is for providers that are known to call living grants
    dead now and then: they are asked a second time, so many seconds later, before an account is disabled.
    `access_token_path` is where the access token lies in an answer, when neither at the top nor in a usual wrapper.
    """

    slug: str
    name: str
    auth_type: AuthType
    docs: tuple[str, ...]
    confidence: Confidence
    recalled_fields: tuple[str, ...] = ()
    authorization_url: str | None = None
    token_url: str | None = None
    refresh_url: str | None = None
    revocation_url: str | None = None
    introspection_url: str | None = None
    userinfo_url: str | None = None
    token_endpoint_auth_method: str | None = None
    pkce: str | None = None
    scope_separator: str | None = None
    refresh_rotates: str | None = None
    old_refresh_grace_s: int | None = None
    old_refresh_grace_answer: str | None = None
    reuse_detection: str | None = None
    confirm_revocation_s: int | None = None
    access_token_ttl_s: int | None = None
    external_id_path: str | None = None
    token_request_format: RequestFormat = RequestFormat.FORM
    refresh_params: Mapping[str, str] = field(default_factory=dict)
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    offline_scopes: tuple[str, ...] = ()
    access_token_path: str | None = None
    answers: tuple[AnswerRule, ...] = ()
    placeholders: tuple[Property, ...] = ()
