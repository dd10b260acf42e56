"""The frame of a page: everything it needs is in it, so that it opens from the file system and can be sent alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path

NAME = "SR workbench"

Link = tuple[str, str]
"""Where a link leads, and what it says."""


def page(title: str, content: str, links: Sequence[Link] = (), here: str = "") -> str:
    """Content in a page; `links` stand above it, the one to the page itself (`here`) marked."""
    bar = "\n".join(
        f'<a href="{escape(to)}"{" aria-current=page" if to == here else ""}>{escape(name)}</a>' for to, name in links
    )
    shown = f"{escape(title)} – {NAME}" if links and title != NAME else escape(title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{shown}</title>
<link rel="icon" href="data:,">
<style>
{_file("page.css")}</style>
</head>
<body>
{f"<nav>{chr(10)}{bar}{chr(10)}</nav>{chr(10)}" if links else ""}<main>
{content}</main>
<script>
{_file("sort.js")}</script>
</body>
</html>
"""


def facts(entries: Sequence[tuple[str, str]]) -> str:
    """Names and what they stand for, in two columns; the second is HTML."""
    return '<dl class="facts">\n' + "\n".join(f"<dt>{escape(a)}</dt><dd>{b}</dd>" for a, b in entries) + "\n</dl>\n"


@cache
def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
