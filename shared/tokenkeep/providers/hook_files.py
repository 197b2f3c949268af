"""The part of a data file that says what the provider's hooks look like."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokenkeep.providers.entry_parts import PLACEHOLDER_NAME, EntryFile
from tokenkeep.providers.field_kinds import Choice, Complaint, Field, Params, Text, Url, Whole
from tokenkeep.providers.hook_rules import (
    HookChallenge,
    HookEvent,
    HookMeaning,
    HookProperty,
    HookScheme,
    HookSecret,
    HookSignature,
    ProviderHooks,
    SignatureEncoding,
    TimestampUnit,
)

_MOST_PLACES: Final = 5
_HEADER = Text(r"[a-z0-9-]{1,64}", "a header's name in lower case")
_PART = r"(?:header [a-z0-9-]{1,64}|[A-Za-z0-9_.\[\]*-]{1,100})"
PLACE = Text(rf"{_PART}(?: \+ {_PART}){{0,4}}", "a place such as event.type, header x-topic or team_id + event.user")
_SIGNED_NAMES: Final = frozenset({"method", "url", "body", "timestamp"})
_HEADER_NAMES: Final = frozenset({"signature", "timestamp"})
_ANSWER_NAMES: Final = frozenset({"value", "hmac"})
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Places:
    """One place, or a list of a few."""

    def complaint(self, value: object) -> Complaint | None:
        """What is wrong with the value, or None."""
        if not isinstance(value, list):
            return PLACE.complaint(value)
        if not 0 < len(value) <= _MOST_PLACES:
            return Complaint(f"expected a place, or 1 to {_MOST_PLACES} of them")
        return next((fault for item in value if (fault := PLACE.complaint(item)) is not None), None)

    def schema(self) -> dict[str, Any]:
        """The field in JSON Schema."""
        one = PLACE.schema()
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": _MOST_PLACES}]}


SIGNATURE_FIELDS: Mapping[str, Field] = {
    "header": _HEADER,
    "value": Text(r"[!-~]{1,100}", "a text such as v0={signature}"),
    "signed": Text(r"[ -~]{1,100}", "a text such as v0:{timestamp}:{body}"),
    "encoding": Choice(tuple(SignatureEncoding)),
    "timestamp_header": _HEADER,
    "timestamp_unit": Choice(tuple(TimestampUnit)),
    "tolerance_s": Whole(1, 3_600),
}
CHALLENGE_FIELDS: Mapping[str, Field] = {"type": Text(), "value": PLACE, "answer": Params()}
EVENT_FIELDS: Mapping[str, Field] = {"means": Choice(tuple(HookMeaning)), "external_id": Places()}
PROPERTY_FIELDS: Mapping[str, Field] = {
    "name": PLACEHOLDER_NAME,
    "at": PLACE,
    "form": Text(r"[!-~]{1,100}", "a text such as {value}.acme.com"),
}
HOOK_FIELDS: Mapping[str, Field] = {
    "scheme": Choice(tuple(HookScheme)),
    "secret": Choice(tuple(HookSecret)),
    "configuration_url": Url(),
    "items": Text(r"[A-Za-z0-9_.]{1,100}", "a path such as events, or . for the body itself"),
    "type": Places(),
    "at": Places(),
    "delivery": Places(),
}
"""What stands beside `signature`, `challenge` and `events`, which have parts of their own."""


def read_hooks(file: EntryFile, field: str, value: object) -> ProviderHooks:
    """What the provider's hooks look like.

    Raises:
        CatalogueError: A part is wrong; file and field are named.
    """
    said = dict(file.mapping(field, value))
    signature, challenge, events = (said.pop(name, None) for name in ("signature", "challenge", "events"))
    file.checked(field, said, HOOK_FIELDS, ("scheme",))
    hooks = ProviderHooks(
        scheme=HookScheme(said["scheme"]),
        secret=HookSecret(said.get("secret", HookSecret.HOOK_SECRET)),
        signature=None if signature is None else _signature(file, f"{field}.signature", signature),
        configuration_url=said.get("configuration_url"),
        items=said.get("items"),
        type=_places(said.get("type")),
        at=_places(said.get("at")),
        delivery=_places(said.get("delivery")),
        challenge=None if challenge is None else _challenge(file, f"{field}.challenge", challenge),
        events={} if events is None else _events(file, f"{field}.events", events),
    )
    _check_whole(file, field, hooks)
    return hooks


def _check_whole(file: EntryFile, field: str, hooks: ProviderHooks) -> None:
    if hooks.scheme is HookScheme.SECURITY_EVENT_TOKEN:
        if hooks.configuration_url is None:
            raise file.wrong(f"{field}.configuration_url", "is missing")
        return
    if hooks.signature is None:
        raise file.wrong(f"{field}.signature", "is missing")
    if not hooks.type:
        raise file.wrong(f"{field}.type", "is missing")
    for name, event in hooks.events.items():
        if event.means is not HookMeaning.NOTHING and not event.external_ids and event.property is None:
            raise file.wrong(f"{field}.events.{name}.external_id", "is missing")


def _signature(file: EntryFile, field: str, value: object) -> HookSignature:
    said = file.checked(field, value, SIGNATURE_FIELDS, ("header",))
    signature = HookSignature(
        header=said["header"],
        value=said.get("value", "{signature}"),
        signed=said.get("signed", "{body}"),
        encoding=SignatureEncoding(said.get("encoding", SignatureEncoding.BASE64)),
        timestamp_header=said.get("timestamp_header"),
        timestamp_unit=TimestampUnit(said.get("timestamp_unit", TimestampUnit.SECONDS)),
        tolerance_s=said.get("tolerance_s"),
    )
    in_header = _named(file, f"{field}.value", signature.value, _HEADER_NAMES)
    in_signed = _named(file, f"{field}.signed", signature.signed, _SIGNED_NAMES)
    if "signature" not in in_header:
        raise file.wrong(f"{field}.value", "names no {signature}")
    if "body" not in in_signed:
        raise file.wrong(f"{field}.signed", "names no {body}")
    timed = "timestamp" in in_header or signature.timestamp_header is not None
    if timed != ("timestamp" in in_signed):
        raise file.wrong(f"{field}.signed", "a timestamp stands in the request and is signed, or neither")
    if timed and signature.tolerance_s is None:
        raise file.wrong(f"{field}.tolerance_s", "is missing")
    return signature


def _challenge(file: EntryFile, field: str, value: object) -> HookChallenge:
    said = file.checked(field, value, CHALLENGE_FIELDS, ("type", "value", "answer"))
    for name, text in said["answer"].items():
        _named(file, f"{field}.answer.{name}", text, _ANSWER_NAMES)
    return HookChallenge(said["type"], said["value"], said["answer"])


def _events(file: EntryFile, field: str, value: object) -> Mapping[str, HookEvent]:
    return {name: _event(file, f"{field}.{name}", name, it) for name, it in file.mapping(field, value).items()}


def _event(file: EntryFile, field: str, name: str, value: object) -> HookEvent:
    given = dict(file.mapping(field, value))
    held = given.pop("property", None)
    said = file.checked(field, given, EVENT_FIELDS, ("means",))
    meant = None if held is None else _property(file, f"{field}.property", held)
    return HookEvent(name, HookMeaning(said["means"]), _places(said.get("external_id")), meant)


def _property(file: EntryFile, field: str, value: object) -> HookProperty:
    said = file.checked(field, value, PROPERTY_FIELDS, ("name", "at"))
    form = said.get("form", "{value}")
    if _named(file, f"{field}.form", form, frozenset({"value"})) != {"value"} or form.count("{value}") > 1:
        raise file.wrong(f"{field}.form", "names {value} once")
    return HookProperty(said["name"], said["at"], form)


def _places(value: str | list[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _named(file: EntryFile, field: str, text: str, known: frozenset[str]) -> set[str]:
    """The names in braces, all of them known."""
    names = set(_BRACES.findall(text))
    for name in sorted(names - known):
        raise file.wrong(field, f"there is no {name!r} to be filled in")
    return names
