"""Answers sealed for the spool, and opened again."""

from tokenkeep.application.ports import Vault
from tokenkeep.application.refreshing import Answered, SpooledAnswer
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.token_documents import document_of, tokens_of
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verdict import Granted
from tokenkeep.providers.entry import Presented

SPOOL = "spool"


def spool_answer(vault: Vault, answered: Answered) -> SpooledAnswer:
    """An answer that holds a token set, sealed under the account's data key.

    The presented refresh token goes along: it is kept where the answer names no new one.
    """
    assert isinstance(answered.verdict, Granted)  # noqa: S101 - whatever else was said may be lost, and is said again
    attempt = answered.attempt
    key = TokenSealer(vault).up_to_date(attempt.account_id, answered.sealed_key)
    plaintext = document_of(
        answered.verdict.tokens,
        http_status=answered.verdict.http_status,
        presented=None if answered.presented is None else answered.presented.reveal(),
        presented_as=answered.rules.presented.value,
    )
    at = (attempt.epoch, attempt.fence)
    return SpooledAnswer(
        attempt=attempt,
        source_id=answered.source.id,
        secret_version=answered.source.secret_version,
        scopes=answered.scopes,
        doubts=answered.doubts,
        presentations=answered.presentations,
        properties=answered.properties,
        sealed_key=key,
        ciphertext=vault.seal(attempt.account_id, key, SPOOL, at, plaintext),
    )


def open_answer(vault: Vault, entry: SpooledAnswer) -> tuple[Granted, Secret | None, Presented]:
    """What was granted, the refresh token that was presented for it, and what that is.

    Raises:
        VaultError: It was altered, or its key is not in the keyring.
    """
    attempt = entry.attempt
    at = (attempt.epoch, attempt.fence)
    tokens, document = tokens_of(vault.open(attempt.account_id, entry.sealed_key, SPOOL, at, entry.ciphertext))
    presented = document["presented"]
    # Not in answers that an earlier release spooled: those were all of refresh tokens, or of the like.
    kind = Presented(document.get("presented_as", Presented.REFRESH_TOKEN))
    return Granted(tokens, document["http_status"]), None if presented is None else Secret(presented), kind
