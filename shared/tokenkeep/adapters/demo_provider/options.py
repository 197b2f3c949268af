"""How the provider behaves."""

from dataclasses import dataclass, field

from tokenkeep.domain.secret import Secret

SCOPES = ("profile", "email", "offline_access")
"""What can be asked for; without a `scope` parameter a client gets the first."""


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """The provider's rules and its one client. Times are in seconds.

    Args:
        token_lifetime_s: Of access tokens.
        rotates: A refresh answers with a new refresh token, and the old one is used up.
        detects_reuse: A used refresh token that comes again revokes the whole grant (RFC 9700, section 4.14.2). If
            not, it is only refused.
        grace_s: How long a used refresh token still works as if it were new.
        requires_pkce: An authorization request without a `code_challenge` is refused. `plain` always is.
        code_lifetime_s: Of authorization codes.
        client_id: The client's id.
        client_secret: The client's secret, until it is rotated.
        redirect_uris: Where codes may be sent, besides any address on loopback (RFC 8252, section 7.3).
    """

    token_lifetime_s: int = 30
    rotates: bool = True
    detects_reuse: bool = True
    grace_s: float = 0.0
    requires_pkce: bool = True
    code_lifetime_s: int = 60
    client_id: str = "demo-client"
    client_secret: Secret = field(default_factory=lambda: Secret("demo-secret"))
    redirect_uris: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ValueError: A time is out of range.
        """
        if self.token_lifetime_s < 1 or self.code_lifetime_s < 1:
            msg = "tokens and codes live for a second at least"
            raise ValueError(msg)
        if self.grace_s < 0:
            msg = "grace_s can't be negative"
            raise ValueError(msg)
