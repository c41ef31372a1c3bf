"""Small charts as inline SVG: an interval as a bar, a rate over runs, throughput over how much runs at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stress.commands.report.html import Markup
from stress.commands.report.html import tag
from stress.model import stats
from stress.record.aggregate.throughput import short
from stress.record.aggregate.words import percent

BAR_WIDTH = 180
_BAR_HEIGHT, _BAR_MIDDLE = 28, 8
_SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
TREND_WIDTH = 260
"""As wide as this, and wider where that gives less than `_STEP_MIN` to a run."""
_STEP_MIN, _STEP_MAX = 8, 32
_TREND_HEIGHT = 44
CURVE_WIDTH, CURVE_HEIGHT = 420, 220
_MARGIN = 44


def scale_for(rate: float) -> float:
    """Return the end of a scale that holds this rate and whose half is a round number, too."""
    return next((one for one in _SCALES if rate <= one), 1.0)


def interval_bar(failures: int, counted: int, scale: float) -> Markup:
    """Return the 95 % interval of a rate as a bar from 0 to `scale`, with a dot at the rate, and the scale below it."""
    low, high = stats.rate_interval(failures, counted)
    rate = failures / counted if counted else 0.0
    parts = [tag("line", x1=2, y1=_BAR_MIDDLE, x2=BAR_WIDTH + 2, y2=_BAR_MIDDLE, class_="axis")]
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        x = _x(share * scale, scale)
        parts.append(tag("line", x1=x, y1=_BAR_MIDDLE - 4, x2=x, y2=_BAR_MIDDLE + 4, class_="axis"))
        label = percent(share * scale) if share else "0"
        parts.append(tag("text", label, x=x, y=_BAR_HEIGHT - 2, text_anchor=anchor))
    parts += [
        tag("line", x1=_x(low, scale), y1=_BAR_MIDDLE, x2=_x(high, scale), y2=_BAR_MIDDLE, class_="whisker"),
        tag("circle", cx=_x(rate, scale), cy=_BAR_MIDDLE, r=4, class_="dot"),
    ]
    label = f"{percent(rate)}, 95 % interval {percent(low)} to {percent(high)}"
    return tag("svg", parts, width=BAR_WIDTH + 4, height=_BAR_HEIGHT, role="img", aria_label=label)


def _x(rate: float, scale: float) -> str:
    return f"{2 + (BAR_WIDTH - 4) * min(1.0, rate / scale if scale else 0.0):.1f}"


def trend(points: Sequence[tuple[int, int] | None], scale: float, marks: Sequence[int] = ()) -> Markup:
    """Return rates over runs, oldest first, each with its interval: (counted, failures), None where it did not run.

    `marks` are the points before which a line stands. A path for each kind of mark keeps it small: 100 runs take 3 kB.
    """
    step = max(_STEP_MIN, min(_STEP_MAX, TREND_WIDTH // max(1, len(points))))
    whiskers: list[str] = []
    dots: list[str] = []
    zeros: list[str] = []
    for number, point in enumerate(points):
        if point is None or not point[0]:
            continue
        counted, failures = point
        x = number * step + 6
        low, high = stats.rate_interval(failures, counted)
        whiskers.append(f"M{x} {_y(low, scale)}V{_y(high, scale)}")
        (dots if failures else zeros).append(f"M{x} {_y(failures / counted, scale)}h0")
    width = max(len(points), 1) * step + 8
    parts = [
        tag("line", x1=0, y1=_TREND_HEIGHT - 4, x2=width, y2=_TREND_HEIGHT - 4, class_="axis"),
        tag(
            "path",
            d="".join(f"M{one * step + 6 - step / 2:g} 0V{_TREND_HEIGHT}" for one in marks),
            class_="mark",
        ),
        tag("path", d="".join(whiskers), class_="whisker", stroke_opacity="0.35"),
        tag("path", d="".join(zeros), class_="zero"),
        tag("path", d="".join(dots), class_="dots"),
    ]
    label = (
        f"rates in {sum(one is not None for one in points)} runs, oldest first, from 0 to {percent(scale)}"
    )
    return tag("svg", parts, width=width, height=_TREND_HEIGHT, role="img", aria_label=label)


def _y(rate: float, scale: float) -> str:
    return f"{4 + (_TREND_HEIGHT - 8) * (1 - min(1.0, rate / scale if scale else 0.0)):.1f}"


@dataclass(frozen=True)
class Series:
    """One curve: (count, value, low, high) by rising count."""

    name: str
    points: Sequence[tuple[float, float, float, float]]


def curves(series: Sequence[Series], x_name: str, y_name: str) -> Markup:
    """Return curves over a logarithmic x axis, with intervals; values start at 0."""
    counts = sorted({point[0] for one in series for point in one.points})
    most = max((point[3] for one in series for point in one.points), default=1.0) or 1.0
    if not counts:
        return Markup("")
    parts = [
        *_axes(counts, most),
        _text(CURVE_WIDTH / 2, CURVE_HEIGHT - 4, x_name),
        _text(4, 12, y_name, "start"),
    ]
    for number, one in enumerate(series):
        style = f"s{number % 4}"
        places = [
            (_cx(x, counts), _cy(value, most), _cy(low, most), _cy(high, most))
            for x, value, low, high in one.points
        ]
        line = "".join(f"{'L' if index else 'M'}{x:.1f} {y:.1f}" for index, (x, y, *_) in enumerate(places))
        whiskers = "".join(f"M{x:.1f} {low:.1f}V{high:.1f}" for x, _, low, high in places)
        parts.append(tag("path", d=line, class_=f"curve {style}"))
        parts.append(tag("path", d=whiskers, class_=f"curve {style}", stroke_opacity="0.4"))
        parts += [tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3, class_=style) for x, y, *_ in places]
    return tag(
        "svg", parts, width=CURVE_WIDTH, height=CURVE_HEIGHT, role="img", aria_label=f"{y_name} over {x_name}"
    )


def _axes(counts: Sequence[float], most: float) -> list[Markup]:
    bottom = CURVE_HEIGHT - 30
    parts = [tag("line", x1=_MARGIN, y1=bottom, x2=CURVE_WIDTH - 8, y2=bottom, class_="axis")]
    parts += [_text(_cx(one, counts), bottom + 14, f"{one:g}") for one in counts]
    for share in (0.5, 1.0):
        y = _cy(share * most, most)
        parts.append(tag("line", x1=_MARGIN, y1=f"{y:.1f}", x2=CURVE_WIDTH - 8, y2=f"{y:.1f}", class_="axis"))
        parts.append(_text(_MARGIN - 4, y + 4, short(share * most), "end"))
    return parts


def _text(x: float, y: float, text: str, anchor: str = "middle") -> Markup:
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _cx(count: float, counts: Sequence[float]) -> float:
    low, high = math.log2(max(counts[0], 1e-9)), math.log2(max(counts[-1], 1e-9))
    share = (math.log2(max(count, 1e-9)) - low) / (high - low) if high > low else 0.5
    return _MARGIN + 14 + share * (CURVE_WIDTH - _MARGIN - 40)


def _cy(value: float, most: float) -> float:
    return 24 + (CURVE_HEIGHT - 54) * (1 - min(1.0, max(0.0, value / most)))
