"""The page of a monitor: one file, without scripts, in which all text is escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lushan.monitor.correction import Correction
from lushan.monitor.records import iso, plural_counts
from lushan.monitor.service import COUNTED, Monitor
from lushan.run.files import atomic_write
from lushan.study.formats import as_html

FILE = "page.html"
SHOWN = 400
"""Windows of a curve, the last ones."""
POINTS = 100
"""Of a curve of shares: windows beside one another are joined."""
ALARMS = 50
"""Alarms with their texts, the last ones."""
_WIDTH, _HEIGHT, _SUM = 900, 160, 70
"""Pixels of the curve of a share, and of the sum below it."""

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse }} td, th {{ padding: .15em .8em .15em 0; text-align: left }}
svg {{ width: 100%; height: auto; display: block }} h2 {{ margin: 1.6em 0 .2em }}
.band {{ fill: #4a7fc1; opacity: .25 }} .share {{ fill: none; stroke: #2f65a8; stroke-width: 1.5 }}
.sum {{ fill: none; stroke: #777; stroke-width: 1.2 }} .alarm {{ stroke: #c33; stroke-width: 1.5 }}
.level {{ stroke: #999; stroke-dasharray: 4 3 }} text {{ font-size: 11px; fill: #777 }}
.note {{ color: #777 }} li {{ margin: .2em 0; overflow-wrap: anywhere }}
</style>
</head>
<body>
"""


def write(monitor: Monitor) -> Path:
    """Write the page of a monitor; return its path."""
    path = monitor.folder / FILE
    atomic_write(path, "".join(_parts(monitor)))
    return path


def _parts(monitor: Monitor) -> Iterator[str]:
    settings, store = monitor.settings, monitor.store
    title = f"Monitor of {settings.label!r}"
    yield _HEAD.format(title=as_html(title))
    yield f"<h1>{as_html(title)}</h1>\n"
    lines = store.fact("lines", {})
    others = plural_counts({k: v for k, v in lines.items() if k != COUNTED})
    alarms = [body for _, body in store.alarms()]
    yield (
        f"<p>{lines.get(COUNTED, 0):,} texts counted"
        f"{f'; not counted: {as_html(others)}' if others else ''}. {len(alarms)} alarms. "
        f"Windows of {settings.window:g} s, in UTC; one false alarm in "
        f"{settings.between / 86400:.3g} days is allowed for, over {len(settings.series)} series "
        f"together.</p>\n"
    )
    for name in settings.series:
        numbers = [alarm["window"] for alarm in alarms if alarm["series"] == name]
        yield from _series(monitor, name, numbers)
    yield from _entities(monitor)
    yield from _alarms(alarms[-ALARMS:], len(alarms))
    yield "</body>\n</html>\n"


def _series(monitor: Monitor, name: str, alarms: Sequence[int]) -> Iterator[str]:
    rows = monitor.store.recent(name, monitor.closed, SHOWN)
    yield f"<h2>{as_html(name)}</h2>\n"
    detector = monitor.detectors.get(name)
    if detector is None:
        yield (
            '<p class="note">No alarms yet: the baseline needs '
            f"{monitor.settings.baseline} windows, and 100 texts.</p>\n"
        )
    else:
        usual = detector.baseline
        yield (
            f'<p class="note">Usually {usual.share:.2%} of the texts get the label, with a '
            f"correlation of {usual.rho:.2g} within a window; an alarm lies above a sum of "
            f"{detector.threshold:.2f}.</p>\n"
        )
    if rows:
        yield _drawn(rows, monitor, name, [w for w in alarms if w >= rows[0][0]])


def _drawn(
    rows: Sequence[tuple[int, int, int]], monitor: Monitor, name: str, alarms: Sequence[int]
) -> str:
    first, last = rows[0][0], max(rows[-1][0], rows[0][0] + 1)

    def x(window: int) -> float:
        return round(45 + (window - first) / (last - first) * (_WIDTH - 55), 1)

    shares = [(w, *_estimate(monitor.correction, k, n)) for w, n, k in _joined(rows)]
    top = max(0.05, *(high for *_, high in shares))

    def y(share: float) -> float:
        return round(_HEIGHT - share / top * (_HEIGHT - 12), 1)

    band = [f"{x(w)},{y(high)}" for w, _, _, high in shares]
    band += [f"{x(w)},{y(low)}" for w, _, low, _ in reversed(shares)]
    curve = " ".join(f"{x(w)},{y(share)}" for w, share, _, _ in shares)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + _SUM + 30}" role="img" '
        f'aria-label="Adjusted share of {as_html(monitor.settings.label)}, {as_html(name)}">',
        f'<polygon class="band" points="{" ".join(band)}"/>',
        f'<polyline class="share" points="{curve}"/>',
        f'<text x="2" y="12">{top:.0%}</text><text x="2" y="{_HEIGHT}">0 %</text>',
        *(
            f'<line class="alarm" x1="{x(w)}" x2="{x(w)}" y1="0" y2="{_HEIGHT + _SUM + 10}"/>'
            for w in alarms
        ),
        *_sum(monitor, name, first, x),
        f'<text x="45" y="{_HEIGHT + _SUM + 26}">{iso(first * monitor.settings.window)}</text>',
        f'<text x="{_WIDTH - 10}" y="{_HEIGHT + _SUM + 26}" text-anchor="end">'
        f"{iso((last + 1) * monitor.settings.window)}</text>",
        "</svg>\n",
    ]
    return "".join(parts)


def _sum(monitor: Monitor, name: str, first: int, x: Callable[[int], float]) -> Iterator[str]:
    sums = monitor.store.sums(name, first)
    if not sums:
        return
    top = max(*(value for _, value, _ in sums), sums[-1][2]) * 1.05

    def y(value: float) -> float:
        return round(_HEIGHT + 10 + _SUM - value / top * _SUM, 1)

    level = y(sums[-1][2])
    yield f'<line class="level" x1="45" x2="{_WIDTH - 10}" y1="{level}" y2="{level}"/>'
    points = " ".join(f"{x(w)},{y(value)}" for w, value, _ in sums)
    yield f'<polyline class="sum" points="{points}"/>'
    yield f'<text x="2" y="{level + 4}">alarm</text>'


def _joined(rows: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Yield windows that follow one another as one, so that a curve has `POINTS` at most."""
    each = -(-len(rows) // POINTS)
    for start in range(0, len(rows), each):
        part = rows[start : start + each]
        yield part[len(part) // 2][0], sum(row[1] for row in part), sum(row[2] for row in part)


def _estimate(correction: Correction, found: int, texts: int) -> tuple[float, float, float]:
    return (correction.adjusted(found, texts), *correction.interval(found, texts))


def _entities(monitor: Monitor) -> Iterator[str]:
    rows = monitor.store.top_entities(20)
    if not rows:
        return
    yield "<h2>Entities</h2>\n<table>\n<tr><th>entity</th><th>texts</th><th>share</th></tr>\n"
    for name, texts, found in rows:
        share, low, high = _estimate(monitor.correction, found, texts)
        yield (
            f"<tr><td>{as_html(name)}</td><td>{texts:,}</td>"
            f"<td>{share:.1%} ({low:.1%} to {high:.1%})</td></tr>\n"
        )
    yield "</table>\n"


def _alarms(alarms: Sequence[dict[str, object]], total: int) -> Iterator[str]:
    yield "<h2>Alarms</h2>\n"
    if not alarms:
        yield "<p>None.</p>\n"
    if total > len(alarms):
        yield f'<p class="note">The last {len(alarms)} of {total}.</p>\n'
    from lushan.monitor.alarms import line_of

    for alarm in reversed(alarms):
        yield f"<details><summary>{as_html(line_of(alarm))}</summary>\n<ul>\n"
        examples = alarm["examples"]
        assert isinstance(examples, list)
        for one in examples:
            yield (
                f"<li>{as_html(one['text'])} <span class=note>{as_html(one['time'])}, "
                f"{one['score']:.2f}</span></li>\n"
            )
        yield "</ul></details>\n"
