"""What a server makes of assertions: Authlib's check, as an authorization server runs it."""

from collections.abc import Mapping
from typing import Any

from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from joserfc.jwk import ECKey, OctKey, RSAKey

from tokenkeep.domain.secret import Secret


class AssertionCheck(JWTBearerClientAssertion):  # type: ignore[misc]  # Authlib has no types
    """Checks the signature, `iss`, `sub`, `aud`, `exp`, `iat`, and that no `jti` comes twice."""

    def __init__(self, key: RSAKey | ECKey | OctKey, *, audience: str) -> None:
        super().__init__(leeway=0)
        self._key = key
        self._audience = audience
        self._seen: set[str] = set()

    def get_audiences(self) -> list[str]:
        return [self._audience]

    def validate_jti(self, _claims: object, jti: str) -> bool:
        is_new = jti not in self._seen
        self._seen.add(jti)
        return is_new

    def accept(self, assertion: Secret) -> Mapping[str, Any]:
        """The claims. Raises InvalidClientError when a server would refuse the assertion."""
        claims: Mapping[str, Any] = self.process_assertion_claims(assertion.reveal(), self._key)
        return claims
