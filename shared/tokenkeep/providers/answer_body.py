"""A body taken apart by what it holds, whatever its Content-Type says."""

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

_SENTENCE_KEYS = frozenset(
    {
        "cause", "data", "desc", "description", "detail", "details", "display_message", "err", "err_msg", "errmsg", "error",
        "error_code", "error_description", "error_detail", "error_details", "error_message", "error_msg", "error_name",
        "error_type", "errorcode", "errordescription", "errordetail", "errordetails", "errormessage", "errormsg",
        "errorsummary", "errortype", "explanation", "fault", "faultcode", "faultstring", "hint", "info", "longmessage",
        "message", "messages", "msg", "name", "reason", "status_message", "statusdescription", "statusmessage", "text",
        "title", "user_message", "usermessage",
    }
)  # fmt: skip
_ITEM_KEYS = frozenset({"code", "field", "resource"})


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float("inf")


_MOST_DIGITS = 400
# Line breaks inside of texts are no JSON, and yet what some servers write.
_DECODER = json.JSONDecoder(strict=False, parse_int=_whole)
_WARNED = re.compile(r"\{\s*\"(?:access_token|accessToken)\"")
_LONGEST_SENTENCE = 1_000
_LONGEST_TEXT = 4_000
_LONGEST_MARKUP = 16_384
_DEEPEST = 6
_MOST_NODES = 300
_MOST_PAIRS = 200

_FORM = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]-]*=[^\s<>]*(?:&|\Z)")
_PAGE = re.compile(r"<!doctype html|<(?:html|head|body|title|h[1-6]|center|p|div|script)\b", re.IGNORECASE)
_LEAF = re.compile(r"<(?:[A-Za-z0-9]+:)?([A-Za-z_][A-Za-z0-9_.-]{0,63})(?:\s[^<>]{0,200})?>([^<>]{1,2000})</")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=[A-Z][a-z])")
_JOINTS = re.compile(r"[\s_\-/+\"'`\u2018\u2019]+")


class Shape(Enum):
    """What kind of thing a body is."""

    EMPTY = auto()
    FIELDS = auto()
    MARKUP = auto()
    BROKEN = auto()
    TEXT = auto()


@dataclass(frozen=True)
class Body:
    """A body as named fields and as words. A small XML document's leaves are fields as well.

    `fields` is empty unless the shape is FIELDS; `words` are those of a body without fields.
    """

    shape: Shape
    fields: Mapping[str, Any]
    words: str = ""

    @cached_property
    def text(self) -> str:
        """The sentences for people, normalised by `words`; it may quote secrets and is looked at, never kept.

        Sought when it is asked for: a token set needs none.
        """
        return _text_of(self.fields) if self.shape is Shape.FIELDS else self.words

    def __repr__(self) -> str:
        return f"Body({self.shape.name})"


def words(sentence: str) -> str:
    """A sentence in lower case, its CamelCase, underscores, hyphens and quotation marks turned into single spaces."""
    return _JOINTS.sub(" ", _CAMEL.sub(" ", sentence)).strip().lower()


def read_body(raw: bytes) -> Body:
    """The body taken apart. Never raises, whatever the bytes are.

    JSON begins with a bracket, markup with `<`, form encoding with `name=`; the rest is text. An array stands for its
    first object. JSON that does not parse is BROKEN: most often a connection was cut.
    """
    content = _decoded(raw).strip()
    if not content:
        return Body(Shape.EMPTY, {})
    if content[0] in "{[":
        return _read_json(content)
    warned = _WARNED.search(content) if content[0] == "<" else None
    if warned is not None:
        # A script's warning before the answer, with the token set in it.
        return _read_json(content[warned.start() :])
    if content[0] == "<":
        return _read_markup(content[:_LONGEST_MARKUP])
    if _FORM.match(content):
        pairs = _read_form(content)
        if pairs:
            return Body(Shape.FIELDS, pairs)
    return Body(Shape.TEXT, {}, words(content[:_LONGEST_SENTENCE]))


def _decoded(raw: bytes) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace")
    return raw.decode("utf-8-sig", errors="replace").lstrip("\ufeff")


def _read_json(content: str) -> Body:
    try:
        # What follows the first document (a comment, a second one) is a cache's or a proxy's.
        value, _ = _DECODER.raw_decode(content)
    except (ValueError, RecursionError):
        return Body(Shape.BROKEN, {})
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), {"message": value})
    return Body(Shape.FIELDS, value)


def _read_markup(content: str) -> Body:
    """A page, or an XML document. No entity is expanded and nothing is looked up: only what stands there is read."""
    text = words(content)
    if _PAGE.search(content):
        return Body(Shape.MARKUP, {}, text)
    leaves = dict(_LEAF.findall(content)[:_MOST_PAIRS])
    return Body(Shape.FIELDS, leaves) if leaves else Body(Shape.MARKUP, {}, text)


def _read_form(content: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(content, keep_blank_values=True, max_num_fields=_MOST_PAIRS))
    except ValueError:
        return {}


def _text_of(fields: Mapping[str, Any]) -> str:
    sentences: list[str] = []
    room = _LONGEST_TEXT
    for sentence in list(_sentences(fields)) or _any_sentences(fields):
        sentences.append(words(sentence[:_LONGEST_SENTENCE]))
        room -= len(sentences[-1])
        if room <= 0:
            break
    return ". ".join(sentences)[:_LONGEST_TEXT]


def _any_sentences(fields: Mapping[str, Any]) -> list[str]:
    """What stands at the top and looks like a sentence, where no member has a name that we know."""
    return [value for value in list(fields.values())[:50] if isinstance(value, str) and " " in value.strip()]


def _sentences(fields: Mapping[str, Any]) -> Iterator[str]:
    """What the body says in words, nearest to the top first. Looks neither deep nor long."""
    waiting: list[tuple[Any, int]] = [(fields, 0)]
    for _ in range(_MOST_NODES):
        if not waiting:
            return
        node, depth = waiting.pop(0)
        if isinstance(node, str):
            yield node
        elif isinstance(node, list) and depth < _DEEPEST:
            waiting.extend((item, depth + 1) for item in node[:20] if isinstance(item, str | list | dict))
        elif isinstance(node, dict):
            yield from _said_by(node)
            if depth < _DEEPEST:
                inner = [value for value in list(node.values())[:50] if isinstance(value, dict | list)]
                waiting.extend((value, depth + 1) for value in inner)


def _said_by(node: Mapping[str, Any]) -> Iterator[str]:
    for key, value in list(node.items())[:50]:
        if isinstance(value, str) and key.lower() in _SENTENCE_KEYS:
            yield value
    # Strava says {"resource": "RefreshToken", "code": "invalid"}: only together do the parts make sense.
    item = [value for key, value in node.items() if key in _ITEM_KEYS and isinstance(value, str)]
    if "resource" in node and item:
        yield " ".join(item)
