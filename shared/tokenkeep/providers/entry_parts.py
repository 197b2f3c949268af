"""The parts of a data file that have parts of their own: placeholders, credentials, answers, the verifying request."""

import re
from collections.abc import Mapping
from typing import Any

from tokenkeep.domain.errors import CatalogueError
from tokenkeep.providers.answer_body import words
from tokenkeep.providers.entry import CredentialField, Holder, Property, Verification
from tokenkeep.providers.error_codes import normal
from tokenkeep.providers.field_kinds import Choice, Field, Flag, Params, Prose, Text, Url, Whole
from tokenkeep.providers.fields import OAUTH2_FIELDS
from tokenkeep.providers.meaning import AnswerRule, Meaning

PLACEHOLDER_NAME = Text(r"[A-Za-z_][A-Za-z0-9_.]{0,63}", "a name of letters, digits, underscores and dots")

PLACEHOLDER_FIELDS: Mapping[str, Field] = {
    "title": Prose(),
    "pattern": Prose(),
    "default": Prose(),
    "required": Flag(),
    "held_by": Choice(tuple(Holder)),
    "example": Prose(),
    "help": Prose(),
}
CREDENTIAL_FIELDS: Mapping[str, Field] = {
    "title": Prose(),
    "secret": Flag(),
    "required": Flag(),
    "pattern": Prose(),
    "help": Prose(),
    "lines": Flag(),
}
ANSWER_FIELDS: Mapping[str, Field] = {
    "code": Prose(),
    "text": Prose(),
    "status": Whole(100, 599),
    "means": Choice(tuple(meaning for meaning in Meaning if meaning is not Meaning.OK)),
}
VERIFY_FIELDS: Mapping[str, Field] = {
    "method": Choice(("GET", "POST")),
    "url": Url(templated=True),
    "headers": Params(Text(r"[a-z0-9-]{1,64}", "a header's name in lower case")),
    "body": Prose(),
    "external_id": OAUTH2_FIELDS["external_id_path"],
}


class EntryFile:
    """One file's name, for every complaint about what it holds."""

    def __init__(self, name: str) -> None:
        self.name = name

    def wrong(self, field: str, detail: str) -> CatalogueError:
        """The complaint about a field."""
        return CatalogueError(self.name, field, detail)

    def mapping(self, field: str, value: object) -> Mapping[str, Any]:
        """A mapping with texts for keys."""
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.wrong(field, "expected a mapping with texts for keys")
        return value

    def checked(
        self, field: str, value: object, kinds: Mapping[str, Field], needed: tuple[str, ...] = ()
    ) -> Mapping[str, Any]:
        """An object whose members are all known and of their kinds.

        Raises:
            CatalogueError: A member is unknown, wrong or missing.
        """
        said = self.mapping(field, value)
        prefix = f"{field}." if field else ""
        for name, item in said.items():
            if name not in kinds:
                raise self.wrong(f"{prefix}{name}", "there is no such field")
            fault = kinds[name].complaint(item)
            if fault is not None:
                raise self.wrong(fault.within(f"{prefix}{name}"), fault.says)
        for name in needed:
            if name not in said:
                raise self.wrong(f"{prefix}{name}", "is missing")
        return said

    def expression(self, field: str, pattern: str) -> re.Pattern[str]:
        """A regular expression."""
        try:
            return re.compile(pattern)
        except re.error as error:
            raise self.wrong(field, f"is no regular expression: {error}") from None


def read_placeholders(file: EntryFile, field: str, value: object) -> tuple[Property, ...]:
    """What stands in the addresses as `{name}`.

    Raises:
        CatalogueError: A part is wrong; file and field are named.
    """
    return tuple(_placeholder(file, f"{field}.{name}", name, it) for name, it in file.mapping(field, value).items())


def _placeholder(file: EntryFile, field: str, name: str, value: object) -> Property:
    fault = PLACEHOLDER_NAME.complaint(name)
    if fault is not None:
        raise file.wrong(field, fault.says)
    said = file.checked(field, value, PLACEHOLDER_FIELDS, ("title", "pattern"))
    compiled = file.expression(f"{field}.pattern", said["pattern"])
    for shown in ("default", "example"):
        if shown in said and not compiled.fullmatch(said[shown]):
            raise file.wrong(f"{field}.{shown}", "expected a text that the pattern matches")
    return Property(
        name=name,
        pattern=said["pattern"],
        title=said["title"],
        default=said.get("default"),
        required=said.get("required", True),
        holder=Holder(said.get("held_by", Holder.ACCOUNT)),
        example=said.get("example"),
        help=said.get("help"),
    )


def read_credential_fields(file: EntryFile, field: str, value: object) -> tuple[CredentialField, ...]:
    """The fields that an account's credentials are made of.

    Raises:
        CatalogueError: A part is wrong; file and field are named.
    """
    return tuple(_credential(file, f"{field}.{name}", name, it) for name, it in file.mapping(field, value).items())


def _credential(file: EntryFile, field: str, name: str, value: object) -> CredentialField:
    fault = PLACEHOLDER_NAME.complaint(name)
    if fault is not None:
        raise file.wrong(field, fault.says)
    said = file.checked(field, value, CREDENTIAL_FIELDS, ("title",))
    if "pattern" in said:
        file.expression(f"{field}.pattern", said["pattern"])
    return CredentialField(
        name=name,
        title=said["title"],
        secret=said.get("secret", True),
        required=said.get("required", True),
        pattern=said.get("pattern"),
        help=said.get("help"),
        lines=said.get("lines", False),
    )


def read_answers(file: EntryFile, field: str, value: object) -> tuple[AnswerRule, ...]:
    """What the provider's own codes and sentences mean.

    Raises:
        CatalogueError: A part is wrong; file and field are named.
    """
    if not isinstance(value, list):
        raise file.wrong(field, "expected a list of rules")
    return tuple(_answer(file, f"{field}.{index}", item) for index, item in enumerate(value))


def _answer(file: EntryFile, field: str, value: object) -> AnswerRule:
    said = file.checked(field, value, ANSWER_FIELDS, ("means",))
    if not {"code", "text"} & said.keys():
        raise file.wrong(field, "a rule names a code or a text")
    code = normal(said["code"]) if "code" in said else None
    text = words(said["text"]) if "text" in said else None
    for name, form in (("code", code), ("text", text)):
        if form is not None and not re.search(r"\w", form):
            raise file.wrong(f"{field}.{name}", "a rule that names nothing would match everything")
    return AnswerRule(Meaning(said["means"]), code, text, said.get("status"))


def read_verification(file: EntryFile, field: str, value: object) -> Verification:
    """The request that shows whether credentials work.

    Raises:
        CatalogueError: A part is wrong; file and field are named.
    """
    said = file.checked(field, value, VERIFY_FIELDS, ("url",))
    return Verification(
        url=said["url"],
        method=said.get("method", "GET"),
        headers=said.get("headers", {}),
        body=said.get("body"),
        external_id=said.get("external_id"),
    )
