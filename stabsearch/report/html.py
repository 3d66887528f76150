"""``report.html``: one page that works offline, with the answer first and the detail below."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from stabsearch.report.findings import Findings
from stabsearch.report.html_answer import answer_box, facts
from stabsearch.report.html_sections import sections
from stabsearch.report.markup import Markup, tag
from stabsearch.report.risk_field import RISK_STYLE
from stabsearch.report.wording import HEADINGS, counted


def report_html(findings: Findings) -> str:
    """Return the whole page; it loads nothing and runs nothing but its own script."""
    script = asset("page.js")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{findings.sweep.name}: {HEADINGS[findings.answer.verdict]}"),
        tag("style", Markup(page_style())),
    )
    top = tag("header", tag("p", _running_head(findings)), answer_box(findings), facts(findings))
    body = tag("body", top, tag("main", sections(findings)), _footer(findings), tag("script", Markup(script)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def page_style() -> str:
    """Return the style of a report's page."""
    return asset("page.css") + RISK_STYLE


def asset(name: str) -> str:
    """Return the text of a file that belongs to the page."""
    return files("stabsearch.report").joinpath(name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Return a policy that lets nothing in but this page's own style and script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"


def _running_head(findings: Findings) -> str:
    return f"stabsearch report · {findings.sweep.name} · {counted(len(findings.records), 'trial')}"


def _footer(findings: Findings) -> Markup:
    text = (
        f"A stated probability holds up to step {findings.answer.horizon:,} of the run, on this model, data "
        "and batch size. The trials stand in trials.csv, the frontier in frontier.csv and frontier.json, its "
        "picture in frontier.png, beside this page."
    )
    return tag("footer", tag("p", text))
