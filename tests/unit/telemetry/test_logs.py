import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy.exc import IntegrityError

from tokenkeep.adapters.telemetry.logs import LogFormat, configure_logging
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret

CANARY = "canary7f3a9c"
LIBRARIES = ["uvicorn.error", "dramatiq.worker.Worker", "apscheduler.executors.default", "asyncio", "alembic.runtime"]
TOUCHED = ["uvicorn", "uvicorn.error", "uvicorn.access", "dramatiq", "apscheduler", "asyncio", "sqlalchemy"]
TOUCHED += [
    "alembic",
    "boto3",
    "botocore",
    "google",
    "httpcore",
    "httpx",
    "sqlalchemy.engine",
    "sqlalchemy.pool",
    "urllib3",
]


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    loggers = [logging.getLogger(name) for name in TOUCHED]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger, (its_handlers, its_level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:] = its_handlers
        logger.setLevel(its_level)
        logger.propagate = propagate
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_event_level_time_and_process(stream: io.StringIO) -> None:
    configure_logging("info", "json", "worker", stream=stream)
    structlog.get_logger().info("refresh_settled", account_id="acc_1", detail="two\nlines")
    (line,) = lines(stream)
    moment = line.pop("ts")
    assert moment.endswith("Z")
    assert "T" in moment
    assert line == {
        "event": "refresh_settled",
        "level": "info",
        "process": "worker",
        "account_id": "acc_1",
        "detail": "two\nlines",
    }


def test_what_is_bound_to_the_context_is_on_every_line_ours_and_theirs(stream: io.StringIO) -> None:
    configure_logging("info", "json", "api", stream=stream)
    with structlog.contextvars.bound_contextvars(correlation_id="cor_1"):
        structlog.get_logger().info("token_vended")
        logging.getLogger("uvicorn.error").warning("hello")
    structlog.get_logger().info("done")
    assert [line.get("correlation_id") for line in lines(stream)] == ["cor_1", "cor_1", None]


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_librarys_text_goes_through_the_same_formatter(stream: io.StringIO, name: str) -> None:
    logging.getLogger(name.split(".", maxsplit=1)[0]).addHandler(logging.StreamHandler())
    configure_logging("info", "json", "worker", stream=stream)
    logging.getLogger(name).warning("Sent %s to %s", f"Bearer {CANARY}", "there")
    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("library_message", name, "warning")
    assert line["message"] == "Sent Bearer *** to there"


@pytest.mark.parametrize(
    "name",
    [
        *("sqlalchemy.engine.Engine", "httpx", "httpcore.http11", "uvicorn.access"),
        *("botocore.endpoint", "botocore.parsers", "google.cloud.kms_v1", "urllib3.connectionpool"),
    ],
)
def test_libraries_that_write_queries_parameters_or_bodies_are_silent_below_a_warning(
    stream: io.StringIO, name: str
) -> None:
    configure_logging("debug", "json", "worker", stream=stream)
    logging.getLogger(name).info("[generated in 0.1s] ('%s',)", CANARY)
    logging.getLogger(name).debug("Response body: %r", CANARY)
    assert stream.getvalue() == ""


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    configure_logging("WARNING", "json", "worker", stream=stream)
    structlog.get_logger().info("quiet")
    logging.getLogger("dramatiq").info("quiet")
    structlog.get_logger().error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_a_second_call_replaces_the_first_also_for_loggers_in_use(stream: io.StringIO) -> None:
    logger = structlog.get_logger()
    first = io.StringIO()
    configure_logging("info", "json", "worker", stream=first)
    logger.info("one")
    configure_logging("info", "json", "worker", stream=stream)
    logger.info("two")
    assert [line["event"] for line in lines(first)] == ["one"]
    assert [line["event"] for line in lines(stream)] == ["two"]


def blow_up(secret: Secret) -> None:
    local_token = secret.reveal()
    if local_token:
        msg = "the provider hung up"
        raise ConnectionError(msg)


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_is_shown_without_local_variables(stream: io.StringIO, style: LogFormat) -> None:
    configure_logging("info", style, "worker", stream=stream)
    for log in (structlog.get_logger().exception, logging.getLogger("dramatiq").exception):
        try:
            blow_up(Secret(CANARY))
        except ConnectionError:
            log("actor_failed")
    shown = stream.getvalue()
    assert shown.count("ConnectionError: the provider hung up") == 2
    assert "in blow_up" in shown
    assert CANARY not in shown


@pytest.mark.parametrize("style", ["json", "console"])
def test_nothing_secret_is_shown_in_either_format(stream: io.StringIO, style: LogFormat) -> None:
    configure_logging("info", style, "worker", stream=stream)
    structlog.get_logger().info(
        "careless",
        held=Secret(CANARY),
        access_token=CANARY,
        header=f"Bearer {CANARY}",
        body={"client_secret": CANARY, "list": [f"tk_{CANARY}"]},
        token_url="https://example.com/token",
    )
    assert "careless" in stream.getvalue()
    assert "https://example.com/token" in stream.getvalue()
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_database_error_shows_neither_parameters_nor_the_row(stream: io.StringIO, style: LogFormat) -> None:
    configure_logging("info", style, "worker", stream=stream)
    original = Exception(f"duplicate key\nDETAIL:  Failing row contains (1, {CANARY}).")
    error = IntegrityError("UPDATE credential SET access_ct = $1", {"access_ct": CANARY}, original)
    assert CANARY in str(error)
    try:
        raise error
    except IntegrityError:
        structlog.get_logger().exception("settle_failed", cause=error)
        logging.getLogger("apscheduler").exception("Job raised: %s", error)
    assert "UPDATE credential" in stream.getvalue()
    assert CANARY not in stream.getvalue()


def test_a_record_that_can_not_be_formatted_does_not_print_its_arguments(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info", "json", "worker", stream=stream)
    logging.getLogger("dramatiq").warning("%d", CANARY)
    told = capsys.readouterr()
    assert told.err == "a log record of dramatiq could not be written: TypeError\n"
    assert CANARY not in told.out + stream.getvalue()


async def test_an_error_that_nobody_awaited_is_one_line_of_json(stream: io.StringIO) -> None:
    configure_logging("info", "json", "worker", stream=stream)
    asyncio.get_running_loop().call_exception_handler({"message": "lost", "exception": ValueError(f"tk_{CANARY}")})
    (line,) = lines(stream)
    assert (line["logger"], line["level"]) == ("asyncio", "error")
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "style", "named"),
    [("loud", "json", "TOKENKEEP_LOG_LEVEL: "), ("info", "xml", "TOKENKEEP_LOG_FORMAT: ")],
)
def test_a_wrong_setting_is_named(level: str, style: Any, named: str) -> None:
    with pytest.raises(SettingsError, match=f"^{named}"):
        configure_logging(level, style, "worker")
