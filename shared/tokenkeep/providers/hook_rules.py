"""What a provider's hooks look like: the notices that it sends by itself, of uninstalled apps and revoked grants."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class HookScheme(StrEnum):
    """How a notice is signed: over a shared secret (RFC 2104), or as a security event token (RFC 8417)."""

    HMAC_SHA256 = "hmac_sha256"
    SECURITY_EVENT_TOKEN = "security_event_token"  # noqa: S105 - RFC 8417's name of a thing


class HookSecret(StrEnum):
    """Which of a source's secrets the provider signs with. With its client secret, its hook secret is taken as well."""

    CLIENT_SECRET = "client_secret"  # noqa: S105 - the name of a field
    HOOK_SECRET = "hook_secret"  # noqa: S105 - as above


class HookMeaning(StrEnum):
    """What a notice says of a grant: it is over; perhaps it is, and the provider is asked; nothing."""

    UNINSTALLED = "uninstalled"
    SUSPECTED = "suspected"
    NOTHING = "nothing"


class SignatureEncoding(StrEnum):
    """How a signature's bytes are written."""

    BASE64 = "base64"
    HEX = "hex"


class TimestampUnit(StrEnum):
    """What a signed timestamp counts since 1970."""

    SECONDS = "s"
    MILLISECONDS = "ms"


@dataclass(frozen=True, slots=True)
class HookSignature:
    """Where the signature stands, and what is signed.

    `value` is what the header holds (`v0={signature}`, `t={timestamp},v1={signature}`); `signed` is what the secret is put over, of
    `{method}`, `{url}`, `{body}` and `{timestamp}`. A timestamp may stand in a header of its own.
    """

    header: str
    value: str = "{signature}"
    signed: str = "{body}"
    encoding: SignatureEncoding = SignatureEncoding.BASE64
    timestamp_header: str | None = None
    timestamp_unit: TimestampUnit = TimestampUnit.SECONDS
    tolerance_s: int | None = None


@dataclass(frozen=True, slots=True)
class HookChallenge:
    """A question by which the provider sees that the address is ours: of this type, with a text that the answer repeats.

    `answer` says with which members: `{value}` is the text, `{hmac}` its HMAC-SHA256 under the secret, in hexadecimal.
    """

    type: str
    value: str
    answer: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HookProperty:
    """A property of the accounts that are meant, such as the host where their tokens are used. `form` is how it is written there."""

    name: str
    at: str
    form: str = "{value}"


@dataclass(frozen=True, slots=True)
class HookEvent:
    """What notices of one type mean, and where they name the provider's accounts: places, of which each may hold several."""

    type: str
    means: HookMeaning
    external_ids: tuple[str, ...] = ()
    property: HookProperty | None = None


@dataclass(frozen=True, slots=True)
class ProviderHooks:
    """A provider's hooks. Places are a header (`header x-topic`) or a path into the body; of several the first that is there.

    `items` is the list of notices in a body, `.` the body itself; None: a body is one notice. `at` is when it happened, `delivery`
    what tells one notice from another. Of a security event token `configuration_url` names the document that tells its issuer and
    where its keys are; types and subjects are the standard's.
    """

    scheme: HookScheme = HookScheme.HMAC_SHA256
    secret: HookSecret = HookSecret.HOOK_SECRET
    signature: HookSignature | None = None
    configuration_url: str | None = None
    items: str | None = None
    type: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    delivery: tuple[str, ...] = ()
    challenge: HookChallenge | None = None
    events: Mapping[str, HookEvent] = field(default_factory=dict)

    @property
    def takes_secret(self) -> bool:
        """Whether a source's hook secret is of any use."""
        return self.scheme is HookScheme.HMAC_SHA256
