"""The API at an address of its own, and a provider to connect to, for browsers that come over the network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from api_service import Service, data, open_service
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderOptions, ProviderServer
from tokenkeep_api.listening import Server, bind

ENTRY = """\
name: Ledgerly
auth_type: oauth2
docs: [https://docs.example]
confidence: documented
authorization_url: "{url}/authorize?user={{company}}"
token_url: "{url}/token"
placeholders:
  company:
    title: Your company's short name, such as acme
    pattern: "[a-z]{{3,12}}"
"""
SOURCE = {
    "provider": "ledgerly",
    "name": "Acme Books",
    "client_id": "demo-client",
    "client_secret": "demo-secret",
    "scopes": ["profile", "email"],
}


@dataclass
class Site:
    """The API at an address, a provider, and a source for it."""

    service: Service
    provider: ProviderServer
    admin: httpx.AsyncClient
    source_id: str

    async def session(self, **body: str) -> str:
        """The address of a new session's page."""
        made = await self.admin.post("/v1/connect/sessions", json={"source_id": self.source_id, **body})
        return str(data(made, 201)["url"])


@asynccontextmanager
async def open_site(database_url: str, redis_url: str, providers_dir: Path) -> AsyncIterator[Site]:
    """Everything, listening. The provider has a property, so that the page has something to ask."""
    with bind("127.0.0.1", 0) as listener:
        public_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with ProviderServer(DemoProvider(ProviderOptions(token_lifetime_s=600))) as provider:
            entry = ENTRY.format(url=provider.url)
            await asyncio.to_thread((providers_dir / "ledgerly.yaml").write_text, entry)
            async with open_service(
                database_url, redis_url, public_url=public_url, providers_dir=providers_dir
            ) as service:
                server = Server(service.app)
                serving = asyncio.create_task(server.serve(sockets=[listener]))
                async with service.client() as admin:
                    source_id = data(await admin.post("/v1/sources", json=SOURCE), 201)["id"]
                    yield Site(service, provider, admin, source_id)
                server.should_exit = True
                await serving
