"""Rules that find misprints in published tables without knowing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from workbench import papers
from workbench.published import Table

from . import between, plain, within
from .sheet import FEWEST, STRENGTHS, Finding, Place, Sheet, Strength

__all__ = [
    "FEWEST",
    "RULES",
    "STRENGTHS",
    "Finding",
    "Place",
    "Rule",
    "Strength",
    "examine",
    "held",
    "impossible",
    "of",
]


@dataclass(frozen=True)
class Rule:
    """One way to see that a printed figure is in doubt."""

    name: str
    title: str
    """One sentence: what it finds."""
    find: Callable[[Sheet, Sequence[Sheet]], Iterable[Finding]]
    """From a table, and other tables to compare it with, to what is in doubt in it."""


@dataclass(frozen=True)
class Alarms:
    """How many figures of made tables without a misprint the rules put in doubt."""

    tables: int
    figures: int
    strong: int
    weak: int

    def __str__(self) -> str:
        strong, weak = (1000 * n / self.figures for n in (self.strong, self.weak))
        return (
            f"{strong:.2f} strong and {weak:.2f} weak findings in 1,000 figures, on {self.tables} made tables without "
            f"a misprint ({self.strong} and {self.weak} in {self.figures:,} figures; tests/made_tables.py)."
        )


def _rule(name: str, find: Callable[[Sheet, Sequence[Sheet]], Iterator[Finding]]) -> Rule:
    return Rule(name, " ".join(str(find.__doc__).split()), find)


RULES = (
    _rule("impossible", plain.impossible),
    _rule("copy", within.copies),
    _rule("outlier", within.outliers),
    _rule("ranks", within.ranks),
    _rule("order", plain.order),
    _rule("twins", plain.twins),
    _rule("best mark", plain.best),
    _rule("claim", between.claims),
    _rule("other print", between.papers),
    _rule("decimals", plain.decimals),
)
"""All rules, in the order their findings are told."""

FALSE_ALARMS = Alarms(tables=500, figures=221_828, strong=9, weak=118)
"""As `python tests/made_tables.py` counts them; tests repeat a part of it."""


def examine(table: Table, others: Iterable[Table] = ()) -> list[Finding]:
    """What every rule finds in a table, compared with others; by cell in the table's order."""
    sheet = Sheet(table)
    beside = [Sheet(t) for t in others if t.id != table.id]
    found = [finding for rule in RULES for finding in rule.find(sheet, beside)]
    at = {entry.place: i for i, entry in enumerate(sheet.entries.values())}
    return sorted(found, key=lambda f: at[f.place])  # stable, so rules keep their order inside a cell


def impossible(table: Table) -> dict[tuple[str, int, str], list[Finding]]:
    """Which figures no measurement gives, by method, scale and column: what is seen without any other figure."""
    return {(f.place.method, f.place.scale, f.place.column): [f] for f in plain.impossible(Sheet(table), ())}


def of(table: Table) -> list[Finding]:
    """What is in doubt in a table, compared with all tables that are held."""
    return held()[table.id] if papers.TABLES.get(table.id) is table else examine(table, papers.TABLES.values())


@cache
def held() -> dict[str, list[Finding]]:
    """What is in doubt in each table that is held."""
    return {table.id: examine(table, papers.TABLES.values()) for table in papers.TABLES.values()}
