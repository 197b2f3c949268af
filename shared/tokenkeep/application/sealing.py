"""Token sets sealed and opened: the one place that knows which field holds what.

`access` is a JSON object of what may be handed out; `refresh` is the refresh token, which only a worker opens, and the
release and the deletion of an account. Both are bound to the account, the field, the epoch and the generation.
"""

import json
from dataclasses import dataclass
from uuid import UUID

from tokenkeep.application.ports import Vault
from tokenkeep.application.token_documents import document_of, tokens_of
from tokenkeep.domain.credential import CredentialVersion, SealedKey, SealedTokens, TokenSet
from tokenkeep.domain.secret import Secret

ACCESS = "access"
REFRESH = "refresh"
CLIENT_SECRET = "client_secret"  # noqa: S105 - the name of a field
RECEIPT = "receipt"
REVOCATION = "revocation"


@dataclass(frozen=True, slots=True)
class TokenSealer:
    """Seals and opens an account's token sets with a vault."""

    vault: Vault

    def seal(
        self, owner: UUID, key: SealedKey, tokens: TokenSet, version: CredentialVersion, *, kept: Secret | None
    ) -> SealedTokens:
        """Seal a token set for this version. `kept` is the former refresh token, used when the set names none."""
        at = (version.epoch, version.generation)
        refresh = tokens.refresh_token or kept
        access = json.dumps({"access_token": tokens.access_token.reveal()}).encode()
        return SealedTokens(
            access_ciphertext=self.vault.seal(owner, key, ACCESS, at, access),
            refresh_ciphertext=(
                None if refresh is None else self.vault.seal(owner, key, REFRESH, at, refresh.reveal().encode())
            ),
            token_type=tokens.token_type,
            scopes=tokens.scopes or (),
        )

    def open_access(self, owner: UUID, key: SealedKey, ciphertext: bytes, version: CredentialVersion) -> Secret:
        """The access token. Raises `VaultError` when the ciphertext is not this account's, field's or version's."""
        at = (version.epoch, version.generation)
        return Secret(json.loads(self.vault.open(owner, key, ACCESS, at, ciphertext))["access_token"])

    def open_refresh(self, owner: UUID, key: SealedKey, ciphertext: bytes, version: CredentialVersion) -> Secret:
        """The refresh token. Only a worker that is about to present it calls this, and the API in two places.

        They are the release, which hands it back to its owner, and the deletion, which seals it anew for its revocation.
        """
        at = (version.epoch, version.generation)
        return Secret(self.vault.open(owner, key, REFRESH, at, ciphertext).decode())

    def seal_receipt(self, owner: UUID, key: SealedKey, tokens: TokenSet, *, epoch: int, fence: int) -> bytes:
        """A token set that is kept in the receipt journal instead of being installed."""
        return self.vault.seal(owner, key, RECEIPT, (epoch, fence), document_of(tokens))

    def seal_revocation(self, owner: UUID, key: SealedKey, token: Secret) -> bytes:
        """A token that the provider is still to be told to revoke."""
        return self.vault.seal(owner, key, REVOCATION, (0, 0), token.reveal().encode(errors="surrogatepass"))

    def open_revocation(self, owner: UUID, key: SealedKey, ciphertext: bytes) -> Secret:
        """A token that is about to be revoked. Raises `VaultError` as `open_access` does."""
        return Secret(self.vault.open(owner, key, REVOCATION, (0, 0), ciphertext).decode(errors="surrogatepass"))

    def open_receipt(self, owner: UUID, key: SealedKey, ciphertext: bytes, *, epoch: int, fence: int) -> TokenSet:
        """A token set from the receipt journal. Raises `VaultError` as `open_access` does."""
        return tokens_of(self.vault.open(owner, key, RECEIPT, (epoch, fence), ciphertext))[0]
