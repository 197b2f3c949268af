"""A service's API at a real port of this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api_service import Service
from tokenkeep_api.app import create_app
from tokenkeep_api.event_streams import StreamTimes
from tokenkeep_api.guarded_protocol import ConnectionLimits
from tokenkeep_api.listening import Server, bind


@asynccontextmanager
async def served(service: Service, times: StreamTimes | None = None, *, port: int = 0) -> AsyncIterator[str]:
    """The address of a server that answers for as long as the block lasts. Who waits for events is answered at its end."""
    with bind("127.0.0.1", port) as listener:
        server = Server(create_app(service.wired, stream_times=times or StreamTimes()), ConnectionLimits())
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            service.wired.event_tail.close()
            server.should_exit = True
            async with asyncio.timeout(20):
                await task
