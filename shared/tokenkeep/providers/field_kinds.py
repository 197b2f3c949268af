"""The kinds of fields that options and data files are made of: what each accepts, and how JSON Schema says it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

_BRACES = re.compile(r"[{}\s]")
_LONGEST_URL = 2_048
_LONGEST_TEXT = 200
_LONGEST_VALUE = 2_000
_MOST_ITEMS = 100


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a value. `where` is a dotted path into it; empty: the value as a whole."""

    says: str
    where: str = ""

    def within(self, field: str) -> str:
        """The path of what is wrong, seen from the object that has this field."""
        return f"{field}.{self.where}" if self.where else field


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http or https address. Whether it may be called is for the token endpoint's adapter to say.

    Braces mark placeholders, which only a provider's own data file may use.
    """

    templated: bool = False

    def complaint(self, value: object) -> Complaint | None:
        """What is wrong with the value, or None."""
        if not isinstance(value, str) or len(value) > _LONGEST_URL:
            return Complaint(f"expected a URL of at most {_LONGEST_URL} characters")
        if not value.isprintable() or (not self.templated and _BRACES.search(value)) or " " in value:
            return Complaint("a URL holds no blanks, control characters or braces")
        try:
            parts = urlsplit(value)
            has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            return Complaint("this is not a URL")
        if parts.scheme not in {"http", "https"} or not has_host:
            return Complaint("expected an absolute URL such as https://example.com/token")
        if parts.username is not None or parts.fragment:
            return Complaint("a URL here has no user name and no fragment")
        return None

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        shown = {"type": "string", "maxLength": _LONGEST_URL}
        return {**shown, "pattern": r"^https?://\S+$"} if self.templated else {**shown, "format": "uri"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def complaint(self, value: object) -> Complaint | None:
        """What is wrong with the value, or None."""
        if isinstance(value, str) and value in self.words:
            return None
        # A bare yes or no is a truth value in YAML 1.1.
        hint = " (a bare yes or no must be quoted)" if isinstance(value, bool) and "yes" in self.words else ""
        return Complaint(f"expected one of {', '.join(self.words)}{hint}")

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds, both included."""

    least: int
    most: int

    def complaint(self, value: object) -> Complaint | None:
        """What is wrong with the value, or None. True and False are no numbers."""
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if is_whole and isinstance(value, int) and self.least <= value <= self.most:
            return None
        return Complaint(f"expected a whole number from {self.least} to {self.most}")

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Text:
    """A text that a pattern matches as a whole."""

    pattern: str = rf".{{1,{_LONGEST_TEXT}}}"
    says: str = f"a text of 1 to {_LONGEST_TEXT} characters"

    def complaint(self, value: object) -> Complaint | None:
        """What is wrong with the value, or None."""
        matches = isinstance(value, str) and re.fullmatch(self.pattern, value)
        return None if matches else Complaint(f"expected {self.says}")

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True, slots=True)
class Prose:
    """Words for people, over as many lines as they take."""

    def complaint(self, value: object) -> Complaint | None:
        """What is wrong with the value, or None."""
        if isinstance(value, str) and value.strip() and len(value) <= _LONGEST_VALUE:
            return None
        return Complaint(f"expected a text of at most {_LONGEST_VALUE} characters")

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        return {"type": "string", "minLength": 1, "maxLength": _LONGEST_VALUE}


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def complaint(self, value: object) -> Complaint | None:
        """What is wrong with the value, or None."""
        return None if isinstance(value, bool) else Complaint("expected true or false")

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of texts of one kind."""

    item: "Text | Choice | Url" = Text()

    def complaint(self, value: object) -> Complaint | None:
        """What is wrong with the value, or None."""
        if not isinstance(value, list | tuple) or len(value) > _MOST_ITEMS:
            return Complaint(f"expected a list of at most {_MOST_ITEMS} texts")
        for index, item in enumerate(value):
            fault = self.item.complaint(item)
            if fault is not None:
                return Complaint(fault.says, str(index))
        return None

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        return {"type": "array", "items": self.item.schema(), "maxItems": _MOST_ITEMS}


@dataclass(frozen=True, slots=True)
class Params:
    """Names with texts: parameters of a request, or headers."""

    name: Text = Text(r"[A-Za-z0-9_.\[\]-]{1,100}", "a parameter's name")

    def complaint(self, value: object) -> Complaint | None:
        """What is wrong with the value, or None."""
        if not isinstance(value, dict) or len(value) > _MOST_ITEMS:
            return Complaint(f"expected a mapping of at most {_MOST_ITEMS} names to texts")
        for name, item in value.items():
            fault = self.name.complaint(name)
            if fault is not None:
                return fault
            if not isinstance(item, str) or len(item) > _LONGEST_VALUE or not item.isprintable():
                return Complaint("expected a text (numbers and truth values must be quoted)", name)
        return None

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        return {
            "type": "object",
            "propertyNames": self.name.schema(),
            "additionalProperties": {"type": "string", "maxLength": _LONGEST_VALUE},
            "maxProperties": _MOST_ITEMS,
        }


@dataclass(frozen=True, slots=True)
class Pairs:
    """Names with texts, each pair judged by a function that says what is wrong with it, or None."""

    judge: Callable[[str, str], str | None]

    def complaint(self, value: object) -> Complaint | None:
        """What is wrong with the value, or None."""
        fault = Params().complaint(value)
        if fault is not None or not isinstance(value, dict):
            return fault
        for name, item in value.items():
            says = self.judge(name, item)
            if says is not None:
                return Complaint(says, name)
        return None

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema; what the function judges is left to it."""
        return Params().schema()


class OwnKind(Protocol):
    """A kind of field that a part of the files brings along."""

    def complaint(self, value: object) -> Complaint | None:
        """What is wrong with the value, or None."""

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""


Field = Url | Choice | Whole | Text | Prose | Flag | Listed | Params | Pairs | OwnKind
