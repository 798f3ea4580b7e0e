"""`index.html`: all that can be read without a script, and places for what the scripts draw.

Whatever stands in it comes from files that anybody may have written: all text is escaped, and the
page's policy lets the browser run nothing but the files beside it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from lushan.common import shell
from lushan.report.groups import Gathered
from lushan.study.claims import FAILS, HOLDS, Answer
from lushan.study.formats import as_html, to_html
from lushan.study.study import Study
from lushan.version import VERSION

GENERATOR = '<meta name="generator" content="lushan report">'
"""Stands in the head of every report: by it another one knows that it may take its place."""
SECTIONS = {
    "claims": "Claims",
    "tables": "Tables",
    "runs": "Runs",
    "curves": "Learning curves",
    "seeds": "Seeds",
    "classes": "Classes",
    "probabilities": "Probabilities",
    "examples": "Examples",
    "configs": "Configurations",
}
# A page of a disk has no origin that `'self'` could stand for in every browser: hence `file:`.
_POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; "
    "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
)
_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{generator}
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="report.css">
<script src="report.js" defer></script>
<script src="data/report.js" defer></script>
</head>
<body>
<a class="skip" href="#main">To the content</a>
"""
# Filled by the scripts, each with a heading of its own; what has nothing to show stays hidden.
_DRAWN = ("runs", "curves", "seeds", "classes", "probabilities", "examples")


def page(made: Gathered, problems: Sequence[str] = ()) -> str:
    """The whole file."""
    parts = [
        _HEAD.format(generator=GENERATOR, policy=_POLICY, title=as_html(made.title)),
        *_header(made, problems),
        _navigation(made),
        '<main id="main">\n<noscript><p class="note">Runs, curves and examples are drawn by a '
        "script, and scripts are switched off here.</p></noscript>\n",
    ]
    filled = {"claims": _claims(made), "tables": _tables(made), "configs": _configs(made)}
    for name, heading in SECTIONS.items():
        if name in filled and not filled[name] and name != "configs":
            continue
        hidden = " hidden" if name in _DRAWN or not filled.get(name) else ""
        parts.append(
            f'<section id="{name}"{hidden}>\n<h2>{heading}</h2>\n{filled.get(name, "")}'
            f'<div id="{name}-drawn"></div>\n</section>\n'
        )
    parts.append(f"</main>\n<footer>{_footer(made)}</footer>\n</body>\n</html>\n")
    return "".join(parts)


def _header(made: Gathered, problems: Sequence[str]) -> Iterator[str]:
    counts = made.counts()
    complete, total = counts.get("complete", 0), len(made.runs)
    yield f"<header>\n<h1>{as_html(made.title)}</h1>\n"
    share = f"{complete} of {total} runs complete" if total > 1 else "one run"
    full = "good" if complete == total else "warn"
    yield f'<p class="facts"><span class="pill {full}">{share}</span>'
    for state, count in counts.items():
        if state != "complete" or total == 1:
            kind = {"complete": "good", "failed": "bad", "damaged": "bad"}.get(state, "warn")
            number = f"{count} " if total > 1 else ""
            yield f' <span class="pill {kind}">{number}{state}</span>'
    yield f" <span>{_spread(made)}</span></p>\n"
    lines = [_lacking(run.member.folder, run.state, run.reason) for run in made.runs if run.reason]
    lines += list(map(as_html, problems))
    if lines:
        items = "\n".join(f"<li>{line}</li>" for line in lines)
        open_ = " open" if len(lines) <= 5 else ""
        what = "Problems"
        yield f'<details class="problems"{open_}><summary>{what} ({len(lines)})</summary>\n'
        yield f"<ul>\n{items}\n</ul></details>\n"
    if made.notes:
        yield "".join(f'<p class="note">{as_html(note)}</p>\n' for note in made.notes)
    yield "</header>\n"


def _spread(made: Gathered) -> str:
    seeds = {str(run.seed) for run in made.runs if run.seed is not None}
    groups = len(made.groups)
    parts = [f"{groups} {'cell' if made.plan else 'group'}{'s' if groups != 1 else ''}"]
    parts.append(f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''}")
    return " × ".join(parts) if made.plan else ", ".join(parts)


def _lacking(folder: object, state: str, reason: str | None) -> str:
    return f"<code>{as_html(folder)}</code>: {as_html(state)}, {as_html(reason)}"


def _navigation(made: Gathered) -> str:
    names = [
        (name, heading)
        for name, heading in SECTIONS.items()
        if not (name == "claims" and not made.claims)
    ]
    links = "\n".join(f'<li><a href="#{name}">{heading}</a></li>' for name, heading in names)
    return f'<nav aria-label="Sections"><ul>\n{links}\n</ul></nav>\n'


# Claims


def _claims(made: Gathered) -> str:
    if not made.claims:
        return ""
    return f'<ul class="claims">\n{"".join(map(_claim, made.claims))}</ul>\n'


def _claim(answer: Answer) -> str:
    kind, sign = {HOLDS: ("good", "✓"), FAILS: ("bad", "✗")}.get(answer.verdict, ("warn", "?"))
    return (
        f'<li class="{kind}"><span class="pill {kind}"><span aria-hidden="true">{sign}</span> '
        f"{as_html(answer.verdict)}</span> <strong>{as_html(answer.claim.text)}</strong>"
        f"<small>{as_html(answer.why)}</small></li>\n"
    )


# Tables


def _tables(made: Gathered) -> str:
    tables = [
        f'<p class="note">{as_html(table)}</p>\n' if isinstance(table, str) else to_html(table)
        for table in made.tables
    ]
    return "".join([*tables, *(_plot(*plot) for plot in made.plots.items())])


def _plot(caption: str, png: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    caption = as_html(caption)
    return (
        f'<figure class="plot"><img src="{source}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


# Configurations


def _configs(made: Gathered) -> str:
    if made.plan is None:
        return ""
    study: Study = made.plan.study
    axes = "".join(
        f"<tr><th scope=row>{as_html(axis)}</th><td>{as_html(level)}</td>"
        f"<td>{_code(lines) or 'as it is'}</td></tr>\n"
        for axis, levels in study.axes.items()
        for level, lines in levels.items()
    )
    seeds = ", ".join(map(str, study.seeds))
    return (
        f"<p>Every run: {_code(study.base) or 'as it is'}; seeds {seeds}.</p>\n"
        '<div class="scroll" tabindex="0" role="region" aria-label="Axes"><table>\n<thead><tr>'
        "<th scope=col>axis</th><th scope=col>level</th><th scope=col>overrides</th></tr></thead>\n"
        f"<tbody>\n{axes}</tbody></table></div>\n"
    )


def _code(lines: Sequence[str]) -> str:
    return f"<code>{as_html(shell.join(lines))}</code>" if lines else ""


def _footer(made: Gathered) -> str:
    where = f" of {as_html(made.plan.study.file)}" if made.plan else ""
    return f"A report{where}, by lushan {as_html(VERSION)}."
