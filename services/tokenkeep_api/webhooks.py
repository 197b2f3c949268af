"""The use-cases of webhooks, over their adapters."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.adapters.token_endpoint.lending import LentConnections
from tokenkeep.adapters.token_endpoint.pool import ConnectionPool
from tokenkeep.adapters.webhooks.excerpts import excerpt_of
from tokenkeep.adapters.webhooks.signatures import sign_delivery
from tokenkeep.application.clocks import Clocks
from tokenkeep.application.manage_webhooks import CreateWebhook, DeleteWebhook, RotateSecret, UpdateWebhook
from tokenkeep.application.ports import Vault
from tokenkeep.application.post_webhook import PostWebhook
from tokenkeep.application.redeliver_events import RedeliverEvents
from tokenkeep.application.try_webhook import TryWebhook
from tokenkeep.bootstrap import wall_clock


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What the routes of webhooks are given."""

    create: CreateWebhook
    update: UpdateWebhook
    rotate: RotateSecret
    delete: DeleteWebhook
    try_out: TryWebhook
    redeliver: RedeliverEvents

    @classmethod
    def wire(
        cls, works: PostgresWorks, vault: Vault, endpoints: ConnectionPool, clocks: Clocks, *, deadline: timedelta
    ) -> Self:
        """The use-cases over these adapters."""
        post = PostWebhook(LentConnections(endpoints), sign_delivery, excerpt_of, clocks, wall_clock, deadline)
        return cls(
            create=CreateWebhook(vault),
            update=UpdateWebhook(),
            rotate=RotateSecret(vault),
            delete=DeleteWebhook(),
            try_out=TryWebhook(works, vault, post),
            redeliver=RedeliverEvents(works, clocks.loop_time),
        )
