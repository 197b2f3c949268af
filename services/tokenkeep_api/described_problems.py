"""Which problems an operation may answer with, for the API's description. A test holds the API to it."""

from collections.abc import Mapping
from typing import Any

from tokenkeep_api.answers import ProblemAnswer
from tokenkeep_api.problems import PROBLEM_TYPE

_ABOUT = {
    400: "The body is not JSON.",
    401: "There is no valid API key, or no valid signature where that stands in its place.",
    403: "The API key lacks the scope that `scope` names.",
    404: "There is no such thing in the API key's environment.",
    408: "The request took too long to arrive.",
    409: "The request does not fit the present state; `code` says how.",
    410: "It was here and is gone: credentials that were handed back and erased, events that are no longer kept.",
    413: "The body has more than 1 MiB.",
    415: "The body is not declared to be JSON.",
    422: "What `field` names can't be taken.",
    429: "Too many requests.",
    500: "Something went wrong here.",
    503: "It can't be had for the moment.",
}
_ALWAYS = (401, 403, 422, 429, 500, 503)
_WITH_BODY = (400, 408, 413, 415)
_LATER = frozenset({429, 503})
_NOT_FOUND = 404
_CONFLICT = 409


def also(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer beside what follows from its form; for `responses` in its decorator."""
    return {status: {"description": _ABOUT[status]} for status in statuses}


def add_problems(operation: dict[str, Any], path: str, method: str) -> None:
    """Put in what follows from the operation's form, and refer to the problems that it names itself."""
    responses = operation["responses"]
    statuses = {*_ALWAYS, *(int(status) for status in responses if int(status) in _ABOUT)}
    if "requestBody" in operation:
        statuses.update(_WITH_BODY)
    if "{" in path:
        statuses.add(_NOT_FOUND)
    if method == "post" and "201" in responses:
        statuses.add(_CONFLICT)
    for status in sorted(statuses):
        responses[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}


def problem_responses(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The components that `add_problems` refers to; `schema` is that of a problem."""
    retry_after = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
    return {
        _name(status): {
            "description": about,
            "content": {PROBLEM_TYPE: {"schema": schema}},
            **({"headers": retry_after} if status in _LATER else {}),
        }
        for status, about in _ABOUT.items()
    }


def _name(status: int) -> str:
    return f"{ProblemAnswer.__name__}{status}"
