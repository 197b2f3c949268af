import copy
import io
import json
import logging
import pickle
import traceback
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
import structlog

from tokenkeep.domain.secret import Secret

CANARY = "canary-7f3a9c"


@dataclass(frozen=True, slots=True)
class Holder:
    name: str
    secret: Secret


def fail_with(secret: Secret) -> None:
    held = {"secret": secret, "many": [secret]}
    msg = f"could not use {secret} of {held}"
    raise RuntimeError(msg)


def test_only_reveal_shows_it() -> None:
    assert Secret(CANARY).reveal() == CANARY


@pytest.mark.parametrize(
    "shown",
    [
        repr(Secret(CANARY)),
        str(Secret(CANARY)),
        f"{Secret(CANARY)}",
        f"{Secret(CANARY)!r:>40}",
        f"{Secret(CANARY):>40}",
        "{}".format(Secret(CANARY)),  # noqa: UP032 - the method is what is tested
        "%s %r" % (Secret(CANARY), Secret(CANARY)),  # noqa: UP031 - the operator is what is tested
        format(Secret(CANARY), "s"),
        repr([Secret(CANARY)]),
        repr({"token": Secret(CANARY)}),
        repr(Holder("a", Secret(CANARY))),
        str(ValueError(Secret(CANARY))),
        json.dumps({"token": Secret(CANARY)}, default=str),
        json.dumps({"token": Secret(CANARY)}, default=repr),
    ],
)
def test_every_way_to_text_shows_the_mask(shown: str) -> None:
    assert "Secret(***)" in shown
    assert CANARY not in shown


@pytest.mark.parametrize("encode", [json.dumps, orjson.dumps])
def test_json_encoders_refuse_it(encode: Any) -> None:
    with pytest.raises(TypeError) as caught:
        encode({"token": Secret(CANARY)})
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("wrap", [lambda secret: secret, lambda secret: Holder("a", secret), lambda secret: [secret]])
def test_pickle_refuses_it_alone_and_inside_of_others(protocol: int, wrap: Any) -> None:
    with pytest.raises(TypeError, match="a secret is never pickled"):
        pickle.dumps(wrap(Secret(CANARY)), protocol)


def test_copies_stay_closed() -> None:
    holder = Holder("a", Secret(CANARY))
    for copied in (copy.copy(holder), copy.deepcopy(holder), replace(holder, name="b")):
        assert copied.secret is holder.secret
        assert CANARY not in repr(copied)


def test_two_secrets_compare_by_value_and_never_to_a_text() -> None:
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret("other")
    assert Secret(CANARY) != CANARY


def test_it_is_no_dictionary_key() -> None:
    with pytest.raises(TypeError):
        hash(Secret(CANARY))


def test_it_has_no_attributes_to_dump() -> None:
    with pytest.raises(TypeError):
        vars(Secret(CANARY))


def test_a_logged_exception_shows_nothing() -> None:
    stream = io.StringIO()
    logger = logging.Logger("secret-test")  # noqa: LOG001 - one that no other test shares
    logger.addHandler(logging.StreamHandler(stream))
    try:
        fail_with(Secret(CANARY))
    except RuntimeError:
        logger.exception("failed with %s and %r", Secret(CANARY), {"token": Secret(CANARY)})
    assert "Secret(***)" in stream.getvalue()
    assert CANARY not in stream.getvalue()


def test_a_traceback_with_its_local_variables_shows_nothing() -> None:
    try:
        fail_with(Secret(CANARY))
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "held = " in shown
    assert CANARY not in shown


@pytest.mark.parametrize("style", ["long", "short", "native"])
def test_a_pytest_report_with_local_variables_shows_nothing(style: Any) -> None:
    with pytest.raises(RuntimeError) as caught:
        fail_with(Secret(CANARY))
    shown = str(caught.getrepr(style=style, showlocals=True))
    assert "could not use Secret(***)" in shown
    assert CANARY not in shown


@pytest.mark.parametrize(
    "renderer",
    [
        structlog.processors.JSONRenderer(),
        structlog.dev.ConsoleRenderer(colors=False),
        structlog.processors.KeyValueRenderer(),
        structlog.processors.LogfmtRenderer(),
    ],
)
def test_structlog_renderers_show_nothing_even_without_a_net(renderer: Any) -> None:
    try:
        fail_with(Secret(CANARY))
    except RuntimeError as error:
        event = {"event": "refresh_failed", "token": Secret(CANARY), "exc_info": error}
    shown = renderer(None, "error", event)
    assert CANARY not in shown


def test_a_structured_traceback_with_its_local_variables_shows_nothing() -> None:
    transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=True)
    try:
        fail_with(Secret(CANARY))
    except RuntimeError as error:
        shown = json.dumps(transform((type(error), error, error.__traceback__)))
    assert "held" in shown
    assert CANARY not in shown
