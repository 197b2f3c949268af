"""`/openapi.json`: what FastAPI knows of its routes, with what it can't see put in.

Every operation says in `security` which scopes it takes (OpenAPI 3.1: role names of a scheme), and which problems it
may answer with.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute

import tokenkeep
from tokenkeep.domain.api_key import Scope
from tokenkeep_api.answers import ProblemAnswer
from tokenkeep_api.authentication import ENVIRONMENT_HEADER, Allowed
from tokenkeep_api.bodies import TokenWish
from tokenkeep_api.creations import IDEMPOTENCY, IDEMPOTENCY_HEADER
from tokenkeep_api.described_problems import add_problems, problem_responses
from tokenkeep_api.problems import PROBLEM_TYPE
from tokenkeep_api.routes import tokens

SECURITY_SCHEME = "api_key"
_REFERENCE = "#/components/schemas/{model}"
_ABOUT = f"""Custody of OAuth grants: every account fresh, no refresh token lost or spent twice.

Every call takes an API key, but for those that providers make: `Authorization: Bearer tk_…`. A key belongs to one environment; the bootstrap
admin key chooses one by the header `{ENVIRONMENT_HEADER}`. Success is `{{"data": …}}`, and lists add `next_cursor`; calls
under `/oauth1/v1` and `/oauth2/v1` answer without `data`.
Errors are `{PROBLEM_TYPE}` (RFC 9457) with a stable `code`. A POST that creates honours `{IDEMPOTENCY_HEADER}`."""


def describe(routers: list[APIRouter], public_url: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these routers and the hot routes."""
    routes: list[BaseRoute] = [route for router in routers for route in router.routes]
    document = get_openapi(
        title="tokenkeep",
        version=tokenkeep.__version__,
        description=_ABOUT,
        routes=routes,
        servers=[{"url": public_url}],
    )
    _add_hot_routes(document)
    components = document.setdefault("components", {})
    components["securitySchemes"] = {SECURITY_SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "tk_…"}}
    for path, method, scopes in _scopes(routes):
        _complete(document["paths"][path][method], path, method, scopes)
    components["responses"] = problem_responses({"$ref": _REFERENCE.format(model=ProblemAnswer.__name__)})
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    document["paths"] = dict(sorted(document["paths"].items()))
    return document


def _add_hot_routes(document: dict[str, Any]) -> None:
    described = tokens.descriptions()
    models: list[type[BaseModel]] = [TokenWish, ProblemAnswer, *(answer for *_, answer in described)]
    names, schemas = models_json_schema([(model, "serialization") for model in models], ref_template=_REFERENCE)
    document["components"]["schemas"] |= schemas["$defs"]
    for path, method, _scope, operation, answer in described:
        schema = names[answer, "serialization"]
        content = {"application/json": {"schema": schema}}
        also = {str(status): response for status, response in operation.get("responses", {}).items()}
        responses = {"200": {"description": "Successful Response", "content": content}}
        document["paths"].setdefault(path, {})[method] = {**operation, "responses": responses | also}


def _scopes(routes: list[BaseRoute]) -> Iterator[tuple[str, str, tuple[Scope, ...]]]:
    for route in routes:
        if isinstance(route, APIRoute):
            needed = [one.call.scopes for one in route.dependant.dependencies if isinstance(one.call, Allowed)]
            for method in route.methods or ():
                yield route.path, method.lower(), needed[0] if needed else ()
    for path, method, scope, _operation, _answer in tokens.descriptions():
        yield path, method, (scope,)


def _complete(operation: dict[str, Any], path: str, method: str, scopes: tuple[Scope, ...]) -> None:
    # Without a scope it takes no key: a provider's own signature stands in its place.
    operation["security"] = [{SECURITY_SCHEME: [scope.value for scope in scopes]}] if scopes else []
    operation["responses"].pop("422", None)
    add_problems(operation, path, method)
    if method == "post" and "201" in operation["responses"]:
        operation.setdefault("parameters", []).append(IDEMPOTENCY)
