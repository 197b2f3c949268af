"""Whose a token set is, where the token endpoint's own answer tells it."""

import json
from typing import Any

from tokenkeep.domain.external_id import ExternalId
from tokenkeep.providers.answer import Answer
from tokenkeep.providers.answer_body import read_body
from tokenkeep.providers.external_ids import read_external_id
from tokenkeep.providers.id_kinds import OF_ID_TOKEN, kind_at, kind_in_token_answer
from tokenkeep.providers.id_tokens import subject_of
from tokenkeep.providers.rules import OAuth2Rules

_SUBJECT = "sub"
_OPENID = "openid"


def told_identity(
    answer: Answer, rules: OAuth2Rules, *, url: str, client_id: str, scopes: tuple[str, ...]
) -> ExternalId | None:
    """The provider's id of the account that a successful answer is about; None when it does not tell.

    What stands at the provider's own place counts first. An ID token's subject counts where nothing else would tell, or where
    the verifying request tells the same: two kinds of ids of one account must never be compared.
    """
    document = _document(answer.body)
    if rules.token_external_id_path is not None:
        told = read_external_id(document, rules.token_external_id_path, {})
        return ExternalId(told, kind_in_token_answer(rules.token_external_id_path)) if isinstance(told, str) else None
    verification = rules.verification
    asked = None if verification is None else verification.external_id
    if asked not in {None, _SUBJECT} or _OPENID not in scopes or not isinstance(document, dict):
        return None
    subject = subject_of(document, url=url, client_id=client_id, issuer=rules.issuer)
    # A UserInfo endpoint must tell the very same (OpenID Connect Core 1.0, section 5.3.2).
    kind = OF_ID_TOKEN if verification is None or asked is None else kind_at(verification, {})
    return None if subject is None else ExternalId(subject, kind)


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return read_body(body).fields
