"""Maths of the pages as MathML, made when they are built: browsers show it without a script or a network."""

from __future__ import annotations

import html
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

__all__ = ["setup"]


def mathml(text: str, display: str) -> str:
    """LaTeX as MathML; lines that are aligned are told as such."""
    if display == "block" and ("\\\\" in text or "&" in text) and "\\begin" not in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    return convert(text.strip(), display=display)


def visit_inline(translator: Any, node: nodes.Element) -> None:
    """Formula in a line."""
    translator.body.append(
        f'<span class="math" title="{html.escape(node.astext())}">{mathml(node.astext(), "inline")}</span>'
    )
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.Element) -> None:
    """Formula by itself."""
    translator.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
