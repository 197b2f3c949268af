"""A resource in threads of its own: it takes the tokens that the test says, and remembers what requests bore."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Resource:
    """`good`: values of the header that is looked at; `moved`: where everything is redirected to."""

    url: str
    good: set[str] = field(default_factory=set)
    header: str = "Authorization"
    moved: str | None = None
    seen: list[tuple[str, str | None, bytes]] = field(default_factory=list)


@contextmanager
def resource_server() -> Iterator[Resource]:
    """One that answers for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            borne = self.headers.get(resource.header)
            resource.seen.append((self.path, borne, body))
            if resource.moved is not None:
                self.send_response(307)
                self.send_header("Location", resource.moved + self.path)
            else:
                self.send_response(200 if borne in resource.good else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - as http.server names it

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    resource = Resource(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield resource
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
