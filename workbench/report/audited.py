"""What the audit found, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from workbench.audit import FALSE_ALARMS, FEWEST, RULES, STRENGTHS, Finding
from workbench.published import Table


def audited(found: Sequence[tuple[Table, Sequence[Finding]]]) -> str:
    """Findings table by table, a line each; then what they are worth."""
    lines = []
    for table, findings in found:
        figures = sum(len(row.printed) for row in table.rows)
        cells = len({f.place for f in findings})
        counted = f"{cells} of {figures} printed figures in doubt" if cells else f"nothing found in {figures} figures"
        few = f"; with fewer than {FEWEST} methods, only what needs no comparison was looked for"
        lines.append(f"{table.id}: {counted}" + (few if len({row.method for row in table.rows}) < FEWEST else ""))
        lines += [f"  {f.place}, printed {f.printed}: {told(f)}" for f in findings]
    every = [f for _, findings in found for f in findings]
    lines += [""] if every else []
    lines += [f"{rule.name}: {rule.title}" for rule in RULES if any(f.rule == rule.name for f in every)]
    lines += [f"{name}: {meaning}." for name, meaning in STRENGTHS.items() if any(f.strength == name for f in every)]
    return "\n".join([*lines, f"False alarms: {FALSE_ALARMS}"]) + "\n"


def told(finding: Finding) -> str:
    """A finding without its place."""
    return f"{finding.rule} ({finding.strength}): {finding.evidence}"


def as_audit(finding: Finding) -> dict[str, Any]:
    """A finding for scripts."""
    fields = {k: v for k, v in asdict(finding).items() if k not in ("place", "others")}
    return asdict(finding.place) | fields | {"others": [asdict(place) for place in finding.others]}
