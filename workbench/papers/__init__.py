"""What each paper printed and claimed, and what its tables and figures show: data only, one file per paper."""

from __future__ import annotations

from workbench.spec import Figure, Table, unknown

from . import asid, esc, hitsr
from .printed import Claim

PAPERS = (esc, hitsr, asid)

TABLES: dict[str, Table] = {t.id: t for paper in PAPERS for t in paper.TABLES}
FIGURES: dict[str, Figure] = {f.id: f for paper in PAPERS for f in paper.FIGURES}
CLAIMS: tuple[Claim, ...] = tuple(c for paper in PAPERS for c in paper.CLAIMS)


def find_table(name: str) -> Table:
    """The table of that id, or a UserError with its nearest neighbours."""
    try:
        return TABLES[name]
    except KeyError:
        raise unknown("table", name, TABLES, "workbench tables") from None
