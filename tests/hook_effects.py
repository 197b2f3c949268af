"""What providers' calls came to: accounts, their events, and what the metric has counted."""

import httpx

from api_service import Service, data
from tokenkeep.domain.ids import IdKind, parse_id


async def state_of(admin: httpx.AsyncClient, account_id: str) -> tuple[str, str | None]:
    account = data(await admin.get(f"/v1/accounts/{account_id}"))
    return account["state"], None if account["disabled"] is None else account["disabled"]["reason"]


async def events_of(service: Service, account_id: str) -> list[str]:
    rows = await service.sql(
        "SELECT type FROM events WHERE subject = :id ORDER BY sequence", id=parse_id(IdKind.ACCOUNT, account_id)
    )
    return [row["type"].rpartition(".")[2] for row in rows]


def counted(service: Service, slug: str) -> dict[str, float]:
    """What the metric has counted for a provider, by result."""
    lines = service.foundation.metrics.render("")[0].decode().splitlines()
    prefix = f'tokenkeep_provider_hooks_total{{provider="{slug}",result="'
    found = (line.removeprefix(prefix).split('"} ') for line in lines if line.startswith(prefix))
    return {result: float(count) for result, count in found if float(count)}
