"""Kinds of external ids: where an id is read says what it is the id of. Ids of two kinds are never compared."""

import re
from collections.abc import Mapping

from tokenkeep.providers.entry import Verification

OF_ID_TOKEN = "id_token sub"  # noqa: S105 - where an id is read
_NAME = re.compile(r"\{([^{}]*)\}")
_ADDRESS_ENDS = re.compile(r"[?#]")


def kind_at(verification: Verification, names: Mapping[str, str]) -> str:
    """The kind of what the verifying request tells: its address, and the path, in which names stand with their values.

    Whoever changes an account's property that is part of its id changes its kind with it.
    """
    path = " + ".join(part.strip() for part in (verification.external_id or "").split("+"))
    return f"{_address(verification)} {_NAME.sub(lambda it: _shown(it[1], names), path)}"


def kind_in_token_answer(path: str) -> str:
    """The kind of what the token endpoint's own answer tells."""
    return f"token {path}"


def other_path(kind: str | None, verification: Verification, names: Mapping[str, str]) -> str | None:
    """Where the answer to this very request holds the id of another kind; None if it holds none."""
    if kind is None or kind == kind_at(verification, names):
        return None
    address, _, path = kind.partition(" ")
    # A part that was a property's value then proves nothing of an answer of today.
    return path if address == _address(verification) and "{" not in path else None


def _shown(name: str, names: Mapping[str, str]) -> str:
    return f"{{{name}={names.get(name, '')}}}"


def _address(verification: Verification) -> str:
    return _ADDRESS_ENDS.split(verification.url, maxsplit=1)[0]
