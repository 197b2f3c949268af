"""The admin side over HTTP, for a provider that runs as a process of its own. It asks for no key.

GET    /_admin/grants              all grants, oldest first
POST   /_admin/grants/{id}/revoke  end one
GET    /_admin/presentations       every presentation of a refresh token; `?fingerprint=` for one token's
GET    /_admin/counters            how often what happened
GET    /_admin/faults              what is still to go wrong
POST   /_admin/faults              let something go wrong: a `Fault` as JSON
DELETE /_admin/faults              let nothing go wrong any more
POST   /_admin/client-secret       {"client_secret": "…"} from now on
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokenkeep.adapters.demo_provider.faults import Fault
from tokenkeep.adapters.demo_provider.ledger import Grant
from tokenkeep.adapters.demo_provider.presentations import Presentation
from tokenkeep.domain.secret import Secret


class Administered(Protocol):
    """What the admin side can do with a provider (`provider.DemoProvider`)."""

    def grants(self) -> Sequence[Grant]:
        """All grants."""

    def revoke_grant(self, grant_id: str) -> Grant:
        """End one; KeyError if there is none."""

    def counters(self) -> object:
        """A dataclass of counts."""

    def presentations(self) -> Sequence[Presentation]:
        """Every one so far."""

    def faults(self) -> Sequence[Fault]:
        """What is still to go wrong."""

    def inject(self, fault: Fault) -> None:
        """Let something go wrong."""

    def clear_faults(self) -> None:
        """Let nothing go wrong."""

    def rotate_client_secret(self, secret: Secret) -> None:
        """Replace the client's secret."""


class NewSecret(BaseModel):
    """The body that replaces the client's secret."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    client_secret: Annotated[str, StringConstraints(min_length=1)]


_ANYTHING: TypeAdapter[object] = TypeAdapter(object)
_FAULT = TypeAdapter(Fault)


def admin_routes(provider: Administered) -> list[Route]:
    """The routes under `/_admin`."""
    admin = _Admin(provider)
    return [
        Route("/_admin/grants", admin.grants, methods=["GET"]),
        Route("/_admin/grants/{id}/revoke", admin.revoke, methods=["POST"]),
        Route("/_admin/presentations", admin.presentations, methods=["GET"]),
        Route("/_admin/counters", admin.counters, methods=["GET"]),
        Route("/_admin/faults", admin.faults, methods=["GET", "POST", "DELETE"]),
        Route("/_admin/client-secret", admin.client_secret, methods=["POST"]),
    ]


class _Admin:
    def __init__(self, provider: Administered) -> None:
        self._provider = provider

    async def grants(self, _request: Request) -> Response:
        return _json([asdict(grant) for grant in self._provider.grants()])

    async def revoke(self, request: Request) -> Response:
        try:
            return _json(asdict(self._provider.revoke_grant(request.path_params["id"])))
        except KeyError:
            return _json({"error": "there is no such grant"}, 404)

    async def presentations(self, request: Request) -> Response:
        wanted = request.query_params.get("fingerprint")
        entries = [entry for entry in self._provider.presentations() if wanted in {None, entry.fingerprint}]
        return _json([asdict(entry) for entry in entries])

    async def counters(self, _request: Request) -> Response:
        return _json(self._provider.counters())

    async def faults(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                self._provider.inject(_FAULT.validate_json(await request.body()))
            except ValidationError as error:
                return _refusal(error)
        elif request.method == "DELETE":
            self._provider.clear_faults()
        return _json([asdict(fault) for fault in self._provider.faults()])

    async def client_secret(self, request: Request) -> Response:
        try:
            body = NewSecret.model_validate_json(await request.body())
        except ValidationError as error:
            return _refusal(error)
        self._provider.rotate_client_secret(Secret(body.client_secret))
        return Response(status_code=204)


def _json(content: object, status: int = 200) -> Response:
    return JSONResponse(_ANYTHING.dump_python(content, mode="json"), status)


def _refusal(error: ValidationError) -> Response:
    """What is wrong with a body, without the body."""
    complaints = error.errors(include_url=False, include_input=False, include_context=False)
    return _json({"error": "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in complaints)}, 400)
