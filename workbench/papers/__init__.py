"""What each paper printed and claimed, and what its tables and figures show: data only, one file per paper."""

from __future__ import annotations

from workbench.published import Claim, Figure, Table
from workbench.spec import unknown

from . import asid, esc, hitsr

PAPERS = (esc, hitsr, asid)

TABLES: dict[str, Table] = {t.id: t for paper in PAPERS for t in paper.TABLES}
FIGURES: dict[str, Figure] = {f.id: f for paper in PAPERS for f in paper.FIGURES}
CLAIMS: dict[str, Claim] = {c.id: c for paper in PAPERS for c in paper.CLAIMS}


def find_figure(name: str) -> Figure:
    """The figure of that id, or a UserError with its nearest neighbours."""
    try:
        return FIGURES[name]
    except KeyError:
        raise unknown("figure", name, FIGURES, "workbench figures") from None


def find_table(name: str) -> Table:
    """The table of that id, or a UserError with its nearest neighbours."""
    try:
        return TABLES[name]
    except KeyError:
        raise unknown("table", name, TABLES, "workbench tables") from None
