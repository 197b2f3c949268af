"""The limit: the same server with nothing behind it.

uvicorn with its own protocol class (httptools), uvloop, one process and one event loop, as the API is served; one plain
Starlette route that answers a POST with ten bytes of JSON and reads no body. No middleware, no authentication, no bounds of
connections, no log.
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PATH = "/v1/accounts/{account_id}/token"
_BODY = b'{"data":{}}'


async def _hello(_request: Request) -> Response:
    return Response(_BODY, media_type="application/json")


def main(port: int) -> None:
    """Serve until told to stop."""
    app = Starlette(routes=[Route(PATH, _hello, methods=["POST"]), Route("/readyz", _hello)])
    uvicorn.run(
        app, port=port, loop="uvloop", http="httptools", ws="none", lifespan="off", access_log=False, log_config=None
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
