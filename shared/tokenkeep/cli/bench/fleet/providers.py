"""Forty made-up providers, as unlike each other as real ones are: how many accounts each has, how it answers, what is wrong with it."""

from dataclasses import dataclass
from enum import StrEnum
from math import exp
from random import Random
from typing import Final

_LONGEST_S: Final = 15.0
"""No answer takes longer, so that each comes within a worker's deadline."""


class Rotation(StrEnum):
    """What becomes of a refresh token that was used: it is kept, replaced, or replaced after a minute's grace."""

    KEPT = "kept"
    SINGLE_USE = "single_use"
    GRACE = "grace"


class Trouble(StrEnum):
    """What is wrong with a provider.

    `throttling`: a 429 with `Retry-After` to every fifth request, in bursts. `overloaded`: a 503 of its own to every fifth. `out`: no
    connection for a while.
    """

    THROTTLING = "throttling"
    OVERLOADED = "overloaded"
    OUT = "out"


_WHEN: Final = {
    Trouble.THROTTLING: ((0.15, 0.25), (0.60, 0.70)),
    Trouble.OVERLOADED: ((0.30, 0.40), (0.75, 0.85)),
    Trouble.OUT: ((0.40, 0.55),),
}
"""From when until when, as shares of the time that is looked at."""

REFUSED_SHARE: Final = 0.2
"""How many of the requests a provider that is throttling or overloaded refuses."""

OPTIONS: Final = {
    Rotation.KEPT: {"refresh_rotates": "no"},
    Rotation.SINGLE_USE: {"refresh_rotates": "yes", "reuse_detection": "revokes"},
    Rotation.GRACE: {"refresh_rotates": "yes", "reuse_detection": "refuses", "old_refresh_grace_s": "60"},
}
"""What a source says of it."""


@dataclass(frozen=True, slots=True)
class FleetProvider:
    """One of them.

    Attributes:
        number: Its place among them; the endpoint knows it by that.
        share: Of the fleet's accounts, by weight.
        life_s: How long its access tokens live.
        median_ms: How long half of its answers take at most.
        spread: The deviation of the logarithm of that time.
    """

    number: int
    share: float
    life_s: int
    median_ms: int
    spread: float
    rotation: Rotation
    trouble: Trouble | None = None

    @property
    def slug(self) -> str:
        """Its name in the catalogue."""
        return f"fleet-{self.number:02}"

    def latency_s(self, draw: Random) -> float:
        """How long an answer takes: log-normal, as the times of services on the other side of the internet about are."""
        return min(self.median_ms / 1000 * exp(self.spread * draw.gauss(0, 1)), _LONGEST_S)

    def in_trouble(self, progress: float) -> bool:
        """Whether it has its trouble when so large a share of the time has passed."""
        return self.trouble is not None and any(since <= progress < until for since, until in _WHEN[self.trouble])


_K, _S, _G = Rotation.KEPT, Rotation.SINGLE_USE, Rotation.GRACE
_MINUTE, _HOUR = 60, 3_600
_Row = tuple[float, int, int, float, Rotation]

# share, life, median, spread, rotation
_ROWS: Final[tuple[_Row, ...]] = (
    (14.0, _HOUR, 110, 0.35, _K),
    (11.0, _HOUR, 160, 0.40, _G),
    (8.0, _HOUR, 320, 0.45, _S),
    (7.0, 30 * _MINUTE, 220, 0.40, _K),
    (6.0, _HOUR, 450, 0.50, _S),
    (5.5, 2 * _HOUR, 280, 0.40, _K),
    (5.0, _HOUR, 140, 0.35, _S),
    (4.5, _HOUR, 190, 0.40, _K),
    (4.0, 8 * _HOUR, 240, 0.45, _S),
    (3.5, _HOUR, 380, 0.50, _K),
    (3.0, _HOUR, 90, 0.30, _K),
    (2.5, _HOUR, 210, 0.40, _G),
    (2.5, 24 * _HOUR, 350, 0.50, _S),
    (2.0, _HOUR, 520, 0.55, _K),
    (2.0, _HOUR, 130, 0.35, _S),
    (1.8, _HOUR, 300, 0.45, _K),
    (1.6, 4 * _HOUR, 170, 0.40, _K),
    (1.5, _HOUR, 2_600, 0.50, _S),
    (1.4, _HOUR, 260, 0.40, _K),
    (1.3, 12 * _HOUR, 150, 0.35, _S),
    (1.2, _HOUR, 400, 0.50, _K),
    (1.1, _HOUR, 180, 0.40, _G),
    (1.0, 30 * _MINUTE, 340, 0.45, _S),
    (0.9, _HOUR, 230, 0.40, _K),
    (0.8, 2 * _HOUR, 600, 0.55, _K),
    (0.8, _HOUR, 120, 0.35, _K),
    (0.7, _HOUR, 290, 0.45, _S),
    (0.7, _HOUR, 480, 0.50, _K),
    (0.6, 24 * _HOUR, 200, 0.40, _K),
    (0.6, _HOUR, 160, 0.40, _S),
    (0.5, _HOUR, 700, 0.60, _K),
    (0.5, _HOUR, 250, 0.40, _S),
    (0.4, 8 * _HOUR, 310, 0.45, _K),
    (0.4, _HOUR, 140, 0.35, _K),
    (0.3, _HOUR, 420, 0.50, _S),
    (0.3, _HOUR, 190, 0.40, _K),
    (0.2, 2 * _HOUR, 270, 0.40, _K),
    (0.2, _HOUR, 900, 0.60, _S),
    (0.1, _HOUR, 230, 0.40, _K),
    (0.1, _HOUR, 150, 0.35, _G),
)
_TROUBLES: Final = {
    7: Trouble.THROTTLING,
    9: Trouble.OVERLOADED,
    15: Trouble.OUT,
    23: Trouble.THROTTLING,
}

PROVIDERS: Final = tuple(FleetProvider(number, *row, _TROUBLES.get(number)) for number, row in enumerate(_ROWS))
"""The forty. One of them is slow at all times: half of its answers take more than 2.6 seconds."""
