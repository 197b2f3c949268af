"""Where an answer names the provider's account: paths such as `user.id`, `data[0].id`, `{hostname} + id`."""

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

LONGEST: int = 255
_STEP = re.compile(r"([^.\[\]]*)((?:\[[0-9]{1,3}\])*)")
_INDEX = re.compile(r"\[([0-9]+)\]")
_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}")
_JOINT = ":"
_EXACT = 2**53
"""Up to here every whole number has a float of its own (RFC 8259, section 6)."""


class NoId(Enum):
    """Why an answer yields no id.

    `missing`: there is no such member, so this is no answer of the expected kind. `null`: it is there, and says nobody.
    `several`: a list of others than exactly one, and no promise which of them comes first. `unfit`: no text and no whole
    number, or too long, or not printable.
    """

    MISSING = auto()
    NULL = auto()
    SEVERAL = auto()
    UNFIT = auto()


def read_external_id(document: object, path: str, names: Mapping[str, str]) -> str | NoId:
    """The id at a path of a JSON document. The parts around a `+` are joined by `:`, and all of them must be there.

    Args:
        document: The answer.
        path: Its parts are members, parted by dots; `[0]` takes the only item of a list, a higher number that item. A part
            in braces is a property of the account, for ids that are unique at one address only.
        names: What may stand in braces.
    """
    parts: list[str] = []
    for part in path.split("+"):
        found = _part(document, part.strip(), names)
        if isinstance(found, NoId):
            return found
        parts.append(found)
    told = _JOINT.join(parts)
    return told if len(told) <= LONGEST else NoId.UNFIT


def _part(document: object, part: str, names: Mapping[str, str]) -> str | NoId:
    named = _NAME.fullmatch(part)
    if named is not None:
        return names.get(named[1]) or NoId.MISSING
    found = _at(document, part)
    return found if isinstance(found, NoId) else _as_text(found)


def _at(document: object, path: str) -> object:
    node, rest = document, path
    while rest:
        if isinstance(node, dict) and rest in node:
            return node[rest]  # Twinfield's members have dots in their names
        step, _, rest = rest.partition(".")
        match = _STEP.fullmatch(step)
        if match is None:
            return NoId.MISSING
        node = _member(node, match[1])
        for index in _INDEX.findall(match[2]):
            node = _item(node, int(index))
        if isinstance(node, NoId):
            return node
    return node


def _member(node: object, name: str) -> object:
    if not name:
        return node
    return node[name] if isinstance(node, dict) and name in node else NoId.MISSING


def _item(node: object, index: int) -> object:
    if isinstance(node, NoId):
        return node
    if not isinstance(node, list):
        return NoId.MISSING
    if index == 0:
        return node[0] if len(node) == 1 else NoId.SEVERAL
    return node[index] if index < len(node) else NoId.SEVERAL


def _as_text(value: Any) -> str | NoId:
    """Ids are texts here; whole numbers are written out as they were."""
    match value:
        case None:
            return NoId.NULL
        case bool():
            return NoId.UNFIT
        case int():
            # Python writes no number of thousands of digits, and no provider has such ids.
            return str(value) if abs(value) < 10**40 else NoId.UNFIT
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < _EXACT else NoId.UNFIT
        case str():
            return value if 0 < len(value) <= LONGEST and value.isprintable() and value.strip() else NoId.UNFIT
        case _:
            return NoId.UNFIT
