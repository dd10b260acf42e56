"""A workbench for lightweight super-resolution: a variant under a protocol gives records; records fill tables.

In Python: `import workbench as wb`, then `wb.measure`, `wb.trace`, `wb.compare` and `wb.table`, each with an example in
its docstring. Nothing heavy is imported before one of them is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.api import UserError, compare, measure, table, trace

__all__ = ["UserError", "compare", "measure", "table", "trace"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'workbench' has no {name!r}; to be called: {', '.join(__all__)}", name=name)
    from workbench import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
