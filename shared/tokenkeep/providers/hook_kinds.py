"""Of which kinds the ids are that a provider's hooks tell: those by which its entry, or a source at the same path, knows accounts."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tokenkeep.providers.entry import Provider
from tokenkeep.providers.hook_notices import NamedAccount
from tokenkeep.providers.id_kinds import OF_ID_TOKEN, kind_at, kind_in_token_answer
from tokenkeep.providers.options import verification_of

_JOINT: Final = ":"


def hook_kinds(provider: Provider, options: Mapping[str, Any], accounts: Iterable[NamedAccount]) -> frozenset[str]:
    """The kinds, of which accounts' verified ids must be to be surely meant.

    A source may ask at an address of its own; with a path of its own it has ids of another kind, which hooks say nothing of
    (ADR 0026). Where a part of the path is a property, its value is the id's own part.
    """
    kinds = set()
    check = provider.verification
    told = None if check is None else check.external_id
    if provider.token_external_id_path is not None:
        kinds.add(kind_in_token_answer(provider.token_external_id_path))
    if check is None or told is None:
        kinds.add(OF_ID_TOKEN)
        return frozenset(kinds)
    own = verification_of(provider, options)
    checks = [check] if own is None or own.external_id != told else [check, own]
    for account in accounts:
        kinds.update(kind_at(one, _names(told, account.value)) for one in checks)
    return frozenset(kinds)


def _names(path: str, value: str) -> dict[str, str]:
    parts = [part.strip() for part in path.split("+")]
    values = value.split(_JOINT)
    if len(parts) != len(values):
        return {}
    return {
        part[1:-1]: text
        for part, text in zip(parts, values, strict=True)
        if part.startswith("{") and part.endswith("}")
    }
