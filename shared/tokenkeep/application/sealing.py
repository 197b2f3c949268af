"""Token sets sealed and opened: the one place that knows which field holds what.

`access` is a JSON object of what may be handed out: a token, or the fields of credentials that are no token. `refresh` is the
refresh token, which only a worker opens, and the release and the giving up of an account; `machine` stands in its place where
an account is renewed by what a machine proves itself with, and opens as nothing else: a key is never sent as if it were a token.
All are bound to the account, the field, the epoch and the generation.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from tokenkeep.application.ports import Vault
from tokenkeep.application.token_documents import document_of, tokens_of
from tokenkeep.domain.credential import CredentialVersion, SealedKey, SealedTokens, StaticCredentials, TokenSet
from tokenkeep.domain.errors import VaultError
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.entry import Presented
from tokenkeep.providers.revocation_way import TokenKind

ACCESS = "access"
REFRESH = "refresh"
MACHINE = "machine"
CLIENT_SECRET = "client_secret"  # noqa: S105 - the name of a field
RECEIPT = "receipt"
REVOCATIONS = {TokenKind.REFRESH: "revocation", TokenKind.ACCESS: "revocation_access"}


@dataclass(frozen=True, slots=True)
class TokenSealer:
    """Seals and opens an account's token sets with a vault."""

    vault: Vault

    def seal(
        self,
        owner: UUID,
        key: SealedKey,
        tokens: TokenSet,
        version: CredentialVersion,
        *,
        kept: Secret | None,
        presented: Presented = Presented.REFRESH_TOKEN,
    ) -> SealedTokens:
        """Seal a token set for this version. `kept` is the former refresh token, used when the set names none.

        `presented` says what the set's refresh token is: some accounts have another thing in its place.
        """
        return self.seal_at(owner, key, tokens, (version.epoch, version.generation), kept=kept, presented=presented)

    def seal_at(
        self,
        owner: UUID,
        key: SealedKey,
        tokens: TokenSet,
        at: tuple[int, int],
        *,
        kept: Secret | None,
        presented: Presented,
    ) -> SealedTokens:
        """`seal`, for an epoch and a generation."""
        refresh = tokens.refresh_token or kept
        field = MACHINE if presented is Presented.MACHINE_CREDENTIALS else REFRESH
        access = json.dumps({"access_token": tokens.access_token.reveal()}).encode()
        return SealedTokens(
            access_ciphertext=self.vault.seal(owner, key, ACCESS, at, access),
            refresh_ciphertext=(
                None if refresh is None else self.vault.seal(owner, key, field, at, refresh.reveal().encode())
            ),
            token_type=tokens.token_type,
            scopes=tokens.scopes or (),
        )

    def seal_static(
        self, owner: UUID, key: SealedKey, held: StaticCredentials, version: CredentialVersion
    ) -> SealedTokens:
        """Seal credentials that nothing renews for this version."""
        document = json.dumps({name: secret.reveal() for name, secret in held.fields.items()}).encode()
        at = (version.epoch, version.generation)
        return SealedTokens(self.vault.seal(owner, key, ACCESS, at, document), None, "", ())

    def open_fields(
        self, owner: UUID, key: SealedKey, ciphertext: bytes, version: CredentialVersion
    ) -> Mapping[str, Secret]:
        """What may be handed out, field by field. Raises `VaultError` as `open_access` does."""
        plain = self.vault.open(owner, key, ACCESS, (version.epoch, version.generation), ciphertext)
        # Decoded here: what is bytes json looks through for its encoding first.
        return {name: Secret(value) for name, value in json.loads(plain.decode()).items()}

    def open_access(self, owner: UUID, key: SealedKey, ciphertext: bytes, version: CredentialVersion) -> Secret:
        """The access token. Raises `VaultError` when the ciphertext is not this account's, field's or version's."""
        at = (version.epoch, version.generation)
        return Secret(json.loads(self.vault.open(owner, key, ACCESS, at, ciphertext))["access_token"])

    def open_refresh(self, owner: UUID, key: SealedKey, ciphertext: bytes, version: CredentialVersion) -> Secret:
        """The refresh token. Only a worker that is about to present it calls this, and the API in three places.

        They are the release, which hands it back to its owner, the request for its revocation, which seals it anew, and the
        replacement of credentials, which compares it with one that the account came with.
        """
        at = (version.epoch, version.generation)
        return Secret(self.vault.open(owner, key, REFRESH, at, ciphertext).decode())

    def open_machine(self, owner: UUID, key: SealedKey, ciphertext: bytes, version: CredentialVersion) -> Secret:
        """What a machine proves itself with, as one document. Only a worker that is about to present it calls this."""
        at = (version.epoch, version.generation)
        return Secret(self.vault.open(owner, key, MACHINE, at, ciphertext).decode())

    def up_to_date(self, owner: UUID, key: SealedKey) -> SealedKey:
        """The same data key as it is to be written down now, if it was read a while ago: wrapped by the current key.

        So that nothing is written by a key that has been rotated away meanwhile. As it is where it can't be wrapped anew: what it has
        sealed must not be lost over that.
        """
        try:
            return self.vault.rewrap(owner, key)
        except VaultError:
            return key

    def seal_receipt(self, owner: UUID, key: SealedKey, tokens: TokenSet, *, epoch: int, fence: int) -> bytes:
        """A token set that is kept in the receipt journal instead of being installed."""
        return self.vault.seal(owner, key, RECEIPT, (epoch, fence), document_of(tokens))

    def seal_revocation(self, owner: UUID, key: SealedKey, kind: TokenKind, token: Secret) -> bytes:
        """A token that the provider is still to be told to revoke, or that the telling takes."""
        plain = token.reveal().encode(errors="surrogatepass")
        return self.vault.seal(owner, key, REVOCATIONS[kind], (0, 0), plain)

    def open_revocation(self, owner: UUID, key: SealedKey, kind: TokenKind, ciphertext: bytes) -> Secret:
        """A token that is about to be revoked. Raises `VaultError` as `open_access` does."""
        plain = self.vault.open(owner, key, REVOCATIONS[kind], (0, 0), ciphertext)
        return Secret(plain.decode(errors="surrogatepass"))

    def open_receipt(self, owner: UUID, key: SealedKey, ciphertext: bytes, *, epoch: int, fence: int) -> TokenSet:
        """A token set from the receipt journal. Raises `VaultError` as `open_access` does."""
        return tokens_of(self.vault.open(owner, key, RECEIPT, (epoch, fence), ciphertext))[0]
