"""An API that hands out tokens, as a transport for the SDK: it says what the test tells it to, and counts."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

ACCOUNT = "acc_" + "0" * 32
OTHER = "acc_" + "1" * 32
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class VendingApi:
    """Every token that it makes is a new one; `life` is in seconds, None for ever. `refreshing`: a report or force makes a new one.

    Requests wait at the `gate`; `arrived`: one has come there.
    """

    life: float | None = 3600.0
    refreshing: bool = True
    makes: bool = True
    changes: dict[str, Any] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    reported: list[str] = field(default_factory=list)
    number: int = 0
    answer_first: Callable[[str, dict[str, Any]], httpx.Response | None] = lambda _path, _body: None
    gate: threading.Event | None = None
    arrived: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        body: Any = json.loads(request.content) if request.content else {}
        with self.lock:
            self.calls[name] += 1
        said = self.answer_first(name, body)
        if said is not None:
            return said
        if self.gate is not None:
            self.arrived.set()
            assert self.gate.wait(20)
        match name:
            case "token":
                return self._vend(force=body.get("force", False))
            case "events":
                return self._take(body)
            case "sign":
                return httpx.Response(200, json={"data": {"headers": {"Authorization": f"OAuth {body['method']}"}}})
            case _:
                return httpx.Response(404, json={"code": "not_found", "detail": name})

    def _vend(self, *, force: bool) -> httpx.Response:
        with self.lock:
            if self.makes or (force and self.refreshing):
                self.number += 1
            self.makes = False
            token = f"token-{self.number}"
        ends = None if self.life is None else (NOW + timedelta(seconds=self.life)).isoformat()
        data = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_at": ends,
            "scopes": [],
            "headers": {"Authorization": f"Bearer {token}"},
            "refreshed": force,
            **self.changes,
        }
        return httpx.Response(200, json={"data": data}, headers={"Date": format_datetime(NOW, usegmt=True)})

    def _take(self, body: Any) -> httpx.Response:
        with self.lock:
            self.reported += [event["data"]["token_fingerprint"] for event in body]
            self.makes = self.refreshing
        return httpx.Response(202, json={"data": [{"id": event["id"], "status": "accepted"} for event in body]})
