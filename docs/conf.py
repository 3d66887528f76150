"""How Sphinx builds the documentation, offline: each Markdown file here is a page, at its own path.

So a relative link leads to the same place here and on a code host.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docutils.nodes import Text
from docutils.writers.html5_polyglot import HTMLTranslator

sys.path.insert(0, str(Path(__file__).parent.parent))
from docs.contents import SECTIONS, START, toctrees
from stabsearch.version import __version__

if TYPE_CHECKING:
    from docutils.nodes import document, math, math_block
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

project = "stabsearch"
author = copyright = "the stabsearch authors"
release = __version__
root_doc = START
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = [f"{page}.md" for pages in SECTIONS.values() for page in pages] + [
    "docs/*.md",
    "docs/**/*.md",
]
exclude_patterns = [
    ".venv",
    "build",
    "dist",
    "runs",
    "mlruns",
    "stabsearch",
    "tests",
    "**/.*",
    "**/__pycache__",
]

smartquotes = False  # a quotation is what was typed
html_theme = "furo"
html_title = "stabsearch"
html_extra_path = ["site"]
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_search_summary = False  # a page opened as a file may not read others
html_math_renderer = "mathml"

myst_heading_anchors = 4  # as code hosts make them
myst_enable_extensions = ["dollarmath", "alert"]
myst_fence_as_directive = ["math"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
nitpick_ignore_regex = [
    # of other libraries, whose inventories would have to be downloaded
    ("py:.*", r"(pandas|pd|np|numpy|optuna|transformers|matplotlib|pathlib|collections|_pytest)\..*"),
    ("py:class", "Path|Figure|PreTrainedModel|Trainer|TrainingArguments"),
    # of types that are written on two lines
    ("py:class", r"tuple\[int"),
    # of our own, but not public: they are named here, and read in the code
    ("py:class", "Sweep|Resume|ViewFor|Findings|Delivery|DiskUse|Precision|Stage|TrialSetup"),
    (
        "py:class",
        r"stabsearch\.(trial|testing|records\.record|records\.outcome|frontier\.(answer|trials))\..*",
    ),
]


NAPOLEON = 500
"""Priority of its handler: Sphinx's default."""


def _with_contents(_: Sphinx, docname: str, source: list[str]) -> None:
    """Give the first page the contents, which code hosts would show as they stand."""
    if docname == START:
        source[0] += toctrees()


def _keep_colons(app: Sphinx) -> None:
    """Leave the texts under names as they are: Napoleon takes what stands before a colon for a type."""
    kept: dict[str, list[str]] = {}

    def keep(_: Sphinx, what: str, name: str, _obj: object, _options: object, lines: list[str]) -> None:
        if what in {"attribute", "property"}:
            kept[name] = list(lines)

    def put_back(_: Sphinx, _what: str, name: str, _obj: object, _options: object, lines: list[str]) -> None:
        lines[:] = kept.pop(name, lines)

    app.connect("autodoc-process-docstring", keep, priority=NAPOLEON - 1)
    app.connect("autodoc-process-docstring", put_back, priority=NAPOLEON + 1)


def _with_dashes(_: Sphinx, tree: document) -> None:
    """Give lists of parameters a dash: Sphinx writes two hyphens, which only ``smartquotes`` would turn."""
    for text in list(tree.findall(Text)):
        if text == " -- ":
            text.parent.replace(text, Text(" – "))


def _visit_formula(self: HTML5Translator, node: math | math_block) -> None:
    """Write a formula as MathML by Docutils; Sphinx's own ways need a script from elsewhere, or LaTeX."""
    self.math_output, self.math_options = "mathml", ""
    HTMLTranslator.visit_math(self, node)


def setup(app: Sphinx) -> None:
    """Register what Sphinx does not bring: contents, and formulas that a browser draws without a script."""
    app.connect("source-read", _with_contents)
    app.connect("doctree-read", _with_dashes)
    _keep_colons(app)
    formula = (_visit_formula, HTMLTranslator.depart_math)
    app.add_html_math_renderer("mathml", formula, formula)
