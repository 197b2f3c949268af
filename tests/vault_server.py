"""As much of HashiCorp Vault's API as its documentation says of KV version 2, of the transit engine, and of logins by AppRole."""

import base64
import os
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokenkeep.adapters.demo_provider import DemoProvider, ProviderServer

ROOT_TOKEN = "hvs.canary-root-token"
ROLE_ID, SECRET_ID = "role-4711", "canary-secret-id"
NAMESPACE = "team"


@dataclass
class VaultServer:
    """KV version 2, mounted at `secret`, and transit, mounted at `transit`. `losing` answers to writes are lost after they were done;
    `tokenless` logins bring no token where it belongs.

    `keys` are those of the transit engine, of the type `aes256-gcm96`, by name.
    """

    tokens: set[str] = field(default_factory=lambda: {ROOT_TOKEN})
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    logins: int = 0
    losing: int = 0
    sealed: bool = False
    tokenless: bool = False
    namespace: str | None = None
    keys: dict[str, bytes] = field(default_factory=lambda: {"tokenkeep": AESGCM.generate_key(256)})

    def serve(self) -> ProviderServer:
        routes = [
            Route("/v1/auth/approle/login", self._log_in, methods=["POST"]),
            Route("/v1/secret/data/{path:path}", self._data, methods=["GET", "POST"]),
            Route("/v1/transit/encrypt/{key}", self._encrypt, methods=["POST"]),
            Route("/v1/transit/decrypt/{key}", self._decrypt, methods=["POST"]),
            Route("/v1/secret/metadata/{path:path}", self._metadata, methods=["GET", "DELETE"]),
        ]
        return ProviderServer(cast("DemoProvider", SimpleNamespace(app=Starlette(routes=routes))))

    async def _log_in(self, request: Request) -> Response:
        body = await request.json()
        if (body["role_id"], body["secret_id"]) != (ROLE_ID, SECRET_ID):
            return JSONResponse({"errors": ["invalid role or secret ID"]}, 400)
        self.logins += 1
        if self.tokenless:
            return JSONResponse({"auth": None, "data": {"client_token": "hvs.canary"}})
        token = f"hvs.{uuid4().hex}"
        self.tokens.add(token)
        return JSONResponse({"auth": {"client_token": token, "lease_duration": 3600}})

    def _refused(self, request: Request) -> Response | None:
        if self.sealed:
            return JSONResponse({"errors": ["Vault is sealed"]}, 503)
        wrong_place = request.headers.get("x-vault-namespace") != self.namespace
        if request.headers.get("x-vault-token") not in self.tokens or wrong_place:
            return JSONResponse({"errors": ["permission denied"]}, 403)
        return None

    async def _data(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        path = request.path_params["path"]
        if request.method == "GET":
            found = self.secrets.get(path)
            if found is None:
                return JSONResponse({"errors": []}, 404)
            return JSONResponse({"data": {"data": found, "metadata": {"version": 1}}})
        body = await request.json()
        if body["options"]["cas"] == 0 and path in self.secrets:
            return JSONResponse({"errors": ["check-and-set parameter did not match the current version"]}, 400)
        self.secrets[path] = body["data"]
        if self.losing:
            self.losing -= 1
            return JSONResponse({"errors": ["the answer was lost"]}, 502)
        return JSONResponse({"data": {"version": 1}})

    async def _encrypt(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        body = await request.json()
        # Vault makes a key that is not there yet, where its policy allows `create`.
        key = self.keys.setdefault(request.path_params["key"], AESGCM.generate_key(256))
        nonce = os.urandom(12)
        sealed = nonce + AESGCM(key).encrypt(nonce, _plain(body["plaintext"]), _plain(body["associated_data"]))
        ciphertext = f"vault:v1:{base64.b64encode(sealed).decode()}"
        return JSONResponse({"data": {"ciphertext": ciphertext, "key_version": 1}})

    async def _decrypt(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        body = await request.json()
        key = self.keys.get(request.path_params["key"])
        if key is None:
            return JSONResponse({"errors": ["encryption key not found"]}, 400)
        prefix, version, sealed = body["ciphertext"].split(":")
        assert (prefix, version) == ("vault", "v1")
        content = _plain(sealed)
        try:
            plain = AESGCM(key).decrypt(content[:12], content[12:], _plain(body["associated_data"]))
        except InvalidTag:
            return JSONResponse({"errors": ["cipher: message authentication failed"]}, 400)
        return JSONResponse({"data": {"plaintext": base64.b64encode(plain).decode()}})

    async def _metadata(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        path = request.path_params["path"]
        if request.method == "DELETE":
            self.secrets.pop(path, None)
            return Response(status_code=204)
        assert request.query_params["list"] == "true"
        folder = path if path.endswith("/") else f"{path}/"
        below = {name.removeprefix(folder) for name in self.secrets if name.startswith(folder)}
        keys = sorted({name if "/" not in name else name.partition("/")[0] + "/" for name in below})
        return JSONResponse({"data": {"keys": keys}}) if keys else JSONResponse({"errors": []}, 404)


def _plain(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
