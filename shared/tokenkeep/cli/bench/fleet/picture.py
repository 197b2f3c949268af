"""The picture of a fleet's load: requests to token endpoints over hours, with due times spread out and without; an SVG."""

from collections.abc import Callable, Sequence
from html import escape
from math import ceil
from typing import Final

from tokenkeep.cli.bench.fleet.day import BIN_S, Beginning, Day, Load

_HOURS: Final = 6
_WIDTH, _PANEL, _GAP, _TOP, _BOTTOM, _LEFT, _RIGHT = 920, 190, 56, 86, 44, 74, 20
_LINES: Final = 4
_BAND: Final = 0.2
_STYLE: Final = """
    svg{color-scheme:light dark}
    .paper{fill:#fff}.text{fill:#1f2328}.faint{fill:#59636e;font-size:12px}.head{fill:#1f2328;font-weight:600}
    .grid{stroke:#d1d9e0;stroke-width:1}.band{fill:#0969da;opacity:.12}
    .ours{fill:none;stroke:#0969da;stroke-width:2}.naive{fill:#bc4c00;fill-opacity:.16;stroke:#bc4c00;stroke-width:1.2}
    @media (prefers-color-scheme:dark){
      .paper{fill:#0d1117}.text,.head{fill:#f0f6fc}.faint{fill:#9198a1}.grid{stroke:#3d444d}.band{fill:#4493f8;opacity:.18}
      .ours{stroke:#4493f8}.naive{fill:#f0883e;stroke:#f0883e;fill-opacity:.2}
    }
"""
_TITLES: Final = {
    Beginning.FRESH: "All of them imported within ten minutes, their tokens just given",
    Beginning.RUNNING: "All of them imported within ten minutes out of a running system",
    Beginning.DOWNTIME: "After three hours in which nothing was refreshed",
}
_NAIVE: Final = "before: each token five minutes before its end"
_OURS: Final = "after: due times spread out"
_MEAN: Final = "the mean ±20 %"


def picture(days: Sequence[Day], *, accounts: int) -> str:
    """The first hours of these days, one below the other."""
    height = _TOP + len(days) * (_PANEL + _GAP) + _BOTTOM - _GAP + 8
    head = f"Token requests of {accounts:,} accounts at forty providers"
    said = "; ".join(f"{_TITLES[day.beginning]}: {_in_words(day)}" for day in days)
    panels = "".join(_panel(day, _TOP + number * (_PANEL + _GAP)) for number, day in enumerate(days))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="ui-sans-serif, system-ui, \
Helvetica, Arial, sans-serif" font-size="14" role="img" aria-labelledby="t d">
  <title id="t">{escape(head)}</title>
  <desc id="d">{escape(said)}</desc>
  <style>{_STYLE}  </style>
  <rect class="paper" width="{_WIDTH}" height="{height}"/>
  <text class="head" x="{_LEFT}" y="24">{escape(head)}</text>
{_legend(48)}{panels}  <text class="faint" x="{_LEFT + _plot_width() / 2:.0f}" y="{height - 10}" text-anchor="middle">time, in hours</text>
</svg>
"""


def _legend(y: int) -> str:
    x = _LEFT
    drawn = []
    for mark, said, wide in (
        (f'<rect class="naive" x="{{x}}" y="{y - 9}" width="22" height="9"/>', _NAIVE, 380),
        (f'<path class="ours" d="M{{x}} {y - 4}h22"/>', _OURS, 250),
        (f'<rect class="band" x="{{x}}" y="{y - 11}" width="22" height="13"/>', _MEAN, 0),
    ):
        drawn.append(f'  {mark.format(x=x)}<text class="text" x="{x + 30}" y="{y}">{said}</text>\n')
        x += wide
    return "".join(drawn)


def _panel(day: Day, top: int) -> str:
    shown = _HOURS * 3600 // BIN_S
    ours, naive = day.ours.per_s[:shown], day.naive.per_s[:shown]
    step = _round_step(max(*ours, *naive) / _LINES)
    most = step * ceil(max(*ours, *naive) / step)

    def y(value: float) -> float:
        return top + _PANEL * (1 - value / most)

    mean = day.ours.mean_per_s
    low, high = y(mean * (1 - _BAND)), y(mean * (1 + _BAND))
    lines = [f'  <text class="text" x="{_LEFT}" y="{top - 10}">{_TITLES[day.beginning]}</text>\n']
    for value in range(0, most + 1, step):
        lines.append(f'  <path class="grid" d="M{_LEFT} {y(value):.1f}h{_plot_width()}"/>')
        lines.append(f'<text class="faint" x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,}</text>\n')
    for hour in range(_HOURS + 1):
        x = _LEFT + _plot_width() * hour / _HOURS
        lines.append(f'  <text class="faint" x="{x:.1f}" y="{top + _PANEL + 18}" text-anchor="middle">{hour}</text>\n')
    middle = top + _PANEL / 2
    lines.append(
        f'  <text class="faint" transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle">requests a second</text>\n'
    )
    lines.append(
        f'  <rect class="band" x="{_LEFT}" y="{high:.1f}" width="{_plot_width()}" height="{low - high:.1f}"/>\n'
    )
    floor = f"L{_LEFT + _plot_width()} {y(0):.1f}L{_LEFT} {y(0):.1f}Z"
    lines.append(f'  <path class="naive" d="{_path(naive, y)}{floor}"/>\n')
    lines.append(f'  <path class="ours" d="{_path(ours, y)}"/>\n')
    return "".join(lines)


def _path(values: Sequence[float], y: Callable[[float], float]) -> str:
    width = _plot_width() / len(values)
    points = [f"{_LEFT + width * (number + 0.5):.1f} {y(value):.1f}" for number, value in enumerate(values)]
    return "M" + "L".join(points)


def _round_step(least: float) -> int:
    """The next larger of 1, 2, 2.5 and 5 times a power of ten; a whole number."""
    power = 1
    while True:
        for times in (1, 2, 2.5, 5):
            if times * power >= least and float(times * power).is_integer():
                return int(times * power)
        power *= 10


def _plot_width() -> int:
    return _WIDTH - _LEFT - _RIGHT


def _in_words(day: Day) -> str:
    return f"{_peak(day.naive)} before, {_peak(day.ours)} after"


def _peak(load: Load) -> str:
    return f"at most {load.peak_ratio:.1f} times the mean of {load.mean_per_s:,.0f} a second"
