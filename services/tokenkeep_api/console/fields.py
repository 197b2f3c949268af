"""Fields of the console's forms: made of JSON Schema or by hand, shown, and read back into JSON.

What is read is not checked here: the API does that, and names the field that is wrong.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import orjson

_LONG: Final = {"private_key", "client_secret", "certificate"}
_EXPIRES: Final = "date-time"
_UNSAID: Final = ("", "as the catalogue says")
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")
"""What fits into 64 bits; the API says what is wrong with anything else."""

_YES_OR_NO: Final = (_UNSAID, ("true", "yes"), ("false", "no"))


class Kind(StrEnum):
    """How a field is shown and read."""

    TEXT = "text"
    SECRET = "secret"  # noqa: S105 - the name of a kind
    LINES = "lines"
    PAIRS = "pairs"
    NUMBER = "number"
    FLAG = "flag"
    CHOICE = "choice"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `name` is the API's own for it, with dots: `options.token_url`. A secret is never shown again."""

    name: str
    title: str
    kind: Kind = Kind.TEXT
    required: bool = False
    help: str | None = None
    value: str = ""
    choices: Sequence[tuple[str, str]] = ()
    hint: str = ""
    complaint: str | None = None
    long: bool = False

    @property
    def id(self) -> str:
        """Fit for an attribute."""
        return f"field-{self.name.replace('.', '-').replace(':', '-')}"


def of_schema(schema: Mapping[str, Any], prefix: str, given: Mapping[str, Any] | None = None) -> list[Field]:
    """A field for each property of an object's schema, what is required first."""
    required = set(schema.get("required", ()))
    fields = [
        _of_property(f"{prefix}.{name}", name, said, (given or {}).get(name), required=name in required)
        for name, said in schema.get("properties", {}).items()
    ]
    return sorted(fields, key=lambda it: not it.required)


def _of_property(full: str, name: str, said: Mapping[str, Any], given: Any, *, required: bool) -> Field:
    field = Field(
        full,
        said.get("title") or _title(name),
        required=required,
        help=said.get("description"),
        hint=_hint(said),
    )
    match said.get("type"):
        case "integer":
            in_seconds = name == "expires_in" or name.endswith("_s")
            return replace(
                field, kind=Kind.NUMBER, value=_text(given), help=field.help or ("In seconds." if in_seconds else None)
            )
        case "boolean":
            return replace(field, kind=Kind.FLAG, choices=_YES_OR_NO, value="" if given is None else str(given).lower())
        case "array":
            return replace(field, kind=Kind.LINES, value="\n".join(given or ()), help=field.help or "One a line.")
        case "object":
            return replace(
                field, kind=Kind.PAIRS, value=lines_of(given or {}), help=field.help or "One a line, as name=value."
            )
        case _ if said.get("enum"):
            choices = (_UNSAID, *((one, one) for one in said["enum"]))
            return replace(field, kind=Kind.CHOICE, choices=choices, value=_text(given))
        case _ if said.get("writeOnly"):
            return replace(field, kind=Kind.SECRET, long=name in _LONG)
        case _:
            asked = "A time such as 2030-01-31T12:00:00Z." if said.get("format") == _EXPIRES else field.help
            return replace(field, value=_text(given), help=asked)


def _title(name: str) -> str:
    """`token_url` as `Token URL`: the API's own name can still be told by it."""
    return re.sub(r"\b[uU]rl\b", "URL", name.replace("_", " ").capitalize())


def _hint(said: Mapping[str, Any]) -> str:
    if said.get("default") is not None:
        default = said["default"]
        return ", ".join(map(str, default)) if isinstance(default, list) else str(default)
    examples = said.get("examples") or [""]
    return str(examples[0])


def _text(given: Any) -> str:
    return "" if given is None else str(given)


def filled(fields: Iterable[Field], form: Mapping[str, str], *, wrong: str | None, says: str) -> list[Field]:
    """The fields with what was entered, secrets aside, and the complaint at the one that it is about."""
    return [
        replace(
            field,
            value="" if field.kind is Kind.SECRET else form.get(field.name, ""),
            complaint=says if _is_about(field, wrong) else None,
        )
        for field in fields
    ]


def _is_about(field: Field, wrong: str | None) -> bool:
    return wrong is not None and (wrong == field.name or wrong.startswith(f"{field.name}."))


def place_of(fields: Iterable[Field], wrong: str | None) -> bool:
    """Whether a complaint finds its field."""
    return any(_is_about(field, wrong) for field in fields)


def read(fields: Iterable[Field], form: Mapping[str, str]) -> dict[str, Any]:
    """What was filled in, by the API's names; nested where they have dots. What is empty is left out."""
    document: dict[str, Any] = {}
    for field in fields:
        value = _value(field, form.get(field.name, ""))
        if value is None:
            continue
        *parents, name = field.name.split(".", 1)
        held = document.setdefault(parents[0], {}) if parents else document
        held[name] = value
    return document


def touched(fields: Iterable[Field], form: Mapping[str, str]) -> list[Field]:
    """The fields whose text did not come back as it was shown."""
    # Browsers end lines in a way of their own.
    return [it for it in fields if form.get(it.name, "").splitlines() != it.value.splitlines()]


def _value(field: Field, text: str) -> Any:
    stripped = text.strip()
    if not stripped:
        return None
    match field.kind:
        case Kind.NUMBER:
            return int(stripped) if _NUMBER.fullmatch(stripped) else stripped
        case Kind.FLAG:
            return stripped == "true"
        case Kind.LINES:
            return [line.strip() for line in text.splitlines() if line.strip()]
        case Kind.PAIRS:
            return pairs_in(text)
        case Kind.SECRET:
            return text.replace("\r\n", "\n")
        case Kind.TEXT | Kind.CHOICE | Kind.HIDDEN:
            return stripped


def lines_of(pairs: Mapping[str, Any]) -> str:
    """Lines of `name=value`, of those pairs alone that `pairs_in` reads back as they are."""
    return "\n".join(f"{name}={value}" for name, value in pairs.items() if _fits_a_line(name, value))


def beside_lines(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """The pairs that no line tells, such as texts of several lines. No form may lose them."""
    return {name: value for name, value in pairs.items() if not _fits_a_line(name, value)}


def _fits_a_line(name: str, value: Any) -> bool:
    return pairs_in(f"{name}={value}") == {name: value}


def fingerprint(fields: Iterable[Field]) -> str:
    """What a form was shown with, in short: it tells whether somebody else has changed the thing since."""
    return sha256(orjson.dumps([(field.name, field.value) for field in fields])).hexdigest()


def pairs_in(text: str) -> dict[str, str]:
    """Lines of `name=value`. A line without `=` is a name with an empty value."""
    pairs = (line.partition("=") for line in text.splitlines() if line.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}
