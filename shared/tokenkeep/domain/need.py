"""Who goes first when not all can go that are due."""

from collections.abc import Mapping, Sequence

from tokenkeep.domain.ids import AccountId

_ONE_IN = 4


def by_need(
    account_ids: Sequence[AccountId], lives: Mapping[AccountId, float | None], *, before: int = 0
) -> list[AccountId]:
    """These accounts in the order in which they are refreshed, by how many seconds their access tokens still live.

    First whose token still lives, the soonest to expire at the head: in time, a refresh prevents an outage; too late, it only shortens
    one, and who needs such a token asks for it, which goes before all of this. But every fourth place is for those whose tokens have
    run out, the longest ago first, so that they come back however little there is to go round. Places count on from those that went `before`, or a source that takes one at a
    time would never come to the fourth. Tokens that never expire are last.
    """
    left = {one: lives.get(one) for one in account_ids}
    living = sorted((life, one) for one, life in left.items() if life is not None and life > 0)
    run_out = sorted((life, one) for one, life in left.items() if life is not None and life <= 0)
    order: list[AccountId] = []
    first, second = iter(living), iter(run_out)
    while True:
        place = before + len(order) + 1
        wanted, otherwise = (second, first) if place % _ONE_IN == 0 else (first, second)
        found = next(wanted, None) or next(otherwise, None)
        if found is None:
            break
        order.append(found[1])
    return order + [one for one in account_ids if left[one] is None]
