"""One data file turned into a catalogue entry, with errors that name file and field."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar

from tokenkeep.domain.account import AuthType
from tokenkeep.domain.errors import CatalogueError
from tokenkeep.providers.answer_body import words
from tokenkeep.providers.entry import Confidence, Property, Provider, RequestFormat
from tokenkeep.providers.error_codes import normal
from tokenkeep.providers.fields import OAUTH2_FIELDS, Url, Whole
from tokenkeep.providers.meaning import AnswerRule, Meaning

_Word = TypeVar("_Word", bound=StrEnum)

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_PATH = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_HTTP_STATUS = Whole(100, 599)
_REQUIRED = ("name", "auth_type", "docs", "confidence")
# A bare yes or no is a truth value in YAML 1.1.
_HINT = " (a bare yes or no must be quoted)"


class _File:
    """The file's name, for every complaint about it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def wrong(self, field: str, detail: str) -> CatalogueError:
        return CatalogueError(self.name, field, detail)

    def text(self, field: str, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(field=field, detail="expected a text")
        return value

    def texts(self, field: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self.wrong(field=field, detail="expected a list of texts")
        return tuple(self.text(f"{field}.{index}", item) for index, item in enumerate(value))

    def mapping(self, field: str, value: object) -> Mapping[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.wrong(field=field, detail="expected a mapping with texts for keys")
        return value

    def word(self, field: str, value: object, words_of: type[_Word]) -> _Word:
        try:
            return words_of(value)  # type: ignore[arg-type]  # anything but a known text is a ValueError
        except ValueError:
            raise self.wrong(field=field, detail=f"expected one of {', '.join(words_of)}") from None

    def params(self, field: str, value: object) -> Mapping[str, str]:
        pairs = self.mapping(field, value)
        return {key: self.text(f"{field}.{key}", item) for key, item in pairs.items()}

    def path(self, field: str, value: object) -> str:
        if not isinstance(value, str) or not _PATH.fullmatch(value):
            raise self.wrong(field=field, detail="expected a path such as data.access_token")
        return value

    def properties(self, field: str, value: object) -> tuple[Property, ...]:
        pairs = self.mapping(field, value)
        return tuple(self.property(f"{field}.{name}", name, item) for name, item in pairs.items())

    def property(self, field: str, name: str, value: object) -> Property:
        said = self.mapping(field, value)
        self.only(field, said, ("pattern", "title", "default", "required"))
        pattern = self.text(f"{field}.pattern", said.get("pattern"))
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise self.wrong(field=f"{field}.pattern", detail=f"is no regular expression: {error}") from None
        default = said.get("default")
        if default is not None and not (isinstance(default, str) and compiled.fullmatch(default)):
            raise self.wrong(field=f"{field}.default", detail="expected a text that the pattern matches")
        required = said.get("required", True)
        if not isinstance(required, bool):
            raise self.wrong(field=f"{field}.required", detail="expected true or false")
        return Property(name, pattern, self.text(f"{field}.title", said.get("title")), default, required)

    def answers(self, field: str, value: object) -> tuple[AnswerRule, ...]:
        if not isinstance(value, list):
            raise self.wrong(field=field, detail="expected a list of rules")
        return tuple(self.answer(f"{field}.{index}", item) for index, item in enumerate(value))

    def answer(self, field: str, value: object) -> AnswerRule:
        said = self.mapping(field, value)
        self.only(field, said, ("code", "text", "status", "means"))
        if not {"code", "text"} & said.keys():
            raise self.wrong(field=field, detail="a rule names a code or a text")
        means = self.word(f"{field}.means", said.get("means"), Meaning)
        if means is Meaning.OK:
            raise self.wrong(field=f"{field}.means", detail="only a token makes an answer ok")
        status = said.get("status")
        complaint = None if status is None else _HTTP_STATUS.complaint(status)
        if complaint is not None:
            raise self.wrong(field=f"{field}.status", detail=complaint)
        code = normal(self.text(f"{field}.code", said["code"])) if "code" in said else None
        text = words(self.text(f"{field}.text", said["text"])) if "text" in said else None
        return AnswerRule(means, code, text, status)

    def only(self, field: str, said: Mapping[str, Any], names: tuple[str, ...]) -> None:
        for name in said:
            if name not in names:
                raise self.wrong(f"{field}.{name}" if field else name, "there is no such field")


def read_entry(file_name: str, slug: str, content: object) -> Provider:
    """The entry that a parsed file describes.

    Raises:
        CatalogueError: A field is unknown, missing or wrong, or an address has a placeholder that is not declared.
    """
    file = _File(file_name)
    if not _SLUG.fullmatch(slug):
        raise file.wrong(field="", detail="a slug has lower-case letters, digits and hyphens")
    said = file.mapping("", content)
    for name in _REQUIRED:
        if name not in said:
            raise file.wrong(field=name, detail="is missing")
    readers = _readers(file)
    file.only("", said, (*_REQUIRED, *OAUTH2_FIELDS, *readers))
    provider = Provider(
        slug=slug,
        name=file.text("name", said["name"]),
        auth_type=file.word("auth_type", said["auth_type"], AuthType),
        docs=file.texts("docs", said["docs"]),
        confidence=file.word("confidence", said["confidence"], Confidence),
    )
    facts: dict[str, Any] = {name: _fact(file, name, said[name]) for name in OAUTH2_FIELDS if name in said}
    rest: dict[str, Any] = {name: read(name, said[name]) for name, read in readers.items() if name in said}
    provider = replace(provider, **facts, **rest)
    for field, name in _used_placeholders(provider):
        if name not in {declared.name for declared in provider.placeholders}:
            raise file.wrong(field=field, detail=f"the placeholder {name!r} is not declared under placeholders")
    return provider


def _readers(file: _File) -> Mapping[str, Callable[[str, object], Any]]:
    """How the fields are read that no option can outrank."""
    return {
        "recalled_fields": file.texts,
        "token_request_format": lambda field, value: file.word(field, value, RequestFormat),
        "refresh_params": file.params,
        "authorize_params": file.params,
        "offline_scopes": file.texts,
        "access_token_path": file.path,
        "answers": file.answers,
        "placeholders": file.properties,
    }


def _fact(file: _File, name: str, value: object) -> object:
    kind = OAUTH2_FIELDS[name]
    complaint = (Url(templated=True) if isinstance(kind, Url) else kind).complaint(value)
    if complaint is not None:
        raise file.wrong(field=name, detail=complaint + (_HINT if isinstance(value, bool) else ""))
    return value


def _used_placeholders(provider: Provider) -> Iterator[tuple[str, str]]:
    for field in (name for name, kind in OAUTH2_FIELDS.items() if isinstance(kind, Url)):
        for name in _PLACEHOLDER.findall(getattr(provider, field) or ""):
            yield field, name
    for key, value in provider.refresh_params.items():
        for name in _PLACEHOLDER.findall(value):
            yield f"refresh_params.{key}", name
