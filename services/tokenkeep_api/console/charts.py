"""Bars of a chart, measured for an SVG whose viewBox is 100 high."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_HEIGHT: Final = 100
_STEP: Final = 20
_WIDTH: Final = 14
_LEAST: Final = 1.5
"""What is there is seen, however much larger the others are."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle, and what it stands for."""

    x: int
    y: float
    width: int
    height: float
    value: int


def bars(values: Sequence[int], *, beside: Sequence[int] = ()) -> list[Bar]:
    """A bar for each value, the largest as high as the chart; or the largest of those that they are shown beside."""
    largest = max([*values, *beside], default=0) or 1
    heights = [max(value / largest * _HEIGHT, _LEAST if value else 0) for value in values]
    return [
        Bar(number * _STEP, round(_HEIGHT - height, 2), _WIDTH, round(height, 2), value)
        for number, (value, height) in enumerate(zip(values, heights, strict=True))
    ]
