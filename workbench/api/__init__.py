"""The workbench in Python, as `import workbench as wb` offers it: measure, trace, compare, table.

What is heavy is imported when a function is called. A model is an nn.Module that is there, a name or glob of the
catalogue, a reference such as './net.py:Net', or a list or a dict {label: model} of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from workbench.spec import UserError, Variant

if TYPE_CHECKING:
    from torch import nn

    from .frames import Measured, Shown
    from .views import Compared, Traced

__all__ = ["UserError", "compare", "measure", "table", "trace"]

Model: TypeAlias = "nn.Module | str | Variant"
Models: TypeAlias = "Model | Iterable[Model] | Mapping[str, Model]"


def measure(
    models: Models,
    probes: str | Sequence[str] | None = None,
    scale: int | None = None,
    protocol: str | Mapping[str, str] | None = None,
    *,
    records: str | Path | None = None,
    weights: str | None = None,
    data: str | Path | None = None,
    force: bool = False,
) -> Measured:
    """Measure networks: a frame with a row for each and a column for each probe, in base units.

    `probes` are names of `workbench probes`; left out, all that count. `protocol` is one way for all of them, or one by
    probe; left out, what is counted is counted under `esc` and what runs is run under `steady`, on the CPU. `scale` is
    seen on a small input where it is not given.

    Names and references go through the store: what a record answers is not measured again (`force` does), what is new
    is appended to `records`, a folder. An nn.Module is measured here and now: its class may exist in your notebook
    only, so no fresh process could make it, and nothing identifies it, so it is not stored. It is copied first and
    comes back as it was, and so do the generators of random numbers; its own hooks run with the copy. Its peak of
    memory is one of a process that holds other things too.

        >>> import workbench as wb
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
        >>> frame = wb.measure(net, probes=["params", "macs"])
        >>> int(frame.loc["Sequential-x4", "params"])  # 3 * 48 * 3 * 3 weights and 48 biases
        1344
        >>> print(frame.scaled().to_csv(), end="")
        network,params (K),macs (M)
        Sequential-x4,1.344,74.65
    """
    from . import asked, frames

    with asked.in_python():
        chosen = asked.networks(models, scale)
        return frames.measured(chosen, asked.probes(probes), protocol, asked.Store.of(records, weights, data, force))


def trace(
    model: Model, protocol: str = "esc", device: str | None = None, depth: int = 2, scale: int | None = None
) -> Traced:
    """Take a network apart by module and by operator: multiply-adds, bytes moved, and the least time on a device.

    Times are estimates from the device's data sheet (`workbench devices`), never measured. `depth` is how many names of
    a module's path are kept. A reference is walked in a fresh process, an nn.Module as a copy in this one.

        >>> import workbench as wb
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
        >>> seen = wb.trace(net, device="rtx-4090")
        >>> int(seen.operators.loc["conv2d", "multiply_adds"])  # 320 * 180 pixels of 1296 each
        74649600
        >>> list(seen.top(1).index)  # the module that takes longest moves, and computes nothing
        ['1']
    """
    from . import asked, views

    with asked.in_python():
        return views.traced(asked.network(model, scale), protocol, device, depth)


def compare(
    *models: Models,
    vs: Model | None = None,
    protocol: str = "steady",
    precision: float = 0.02,
    budget: float = 120.0,
    scale: int | None = None,
) -> Compared:
    """Time networks in turns on this machine: the first against each other one, or each against `vs`.

    It ends when the interval of each ratio is narrower than `precision`, or after `budget` seconds. A network that is
    there already is timed in this process, a reference in a fresh one: the two cannot be compared with each other, but
    both with names of the catalogue.

        >>> import workbench as wb
        >>> from torch import nn
        >>> def net(depth):
        ...     middle = [nn.Conv2d(32, 32, 3, padding=1) for _ in range(depth)]
        ...     return nn.Sequential(nn.Conv2d(3, 32, 1), *middle, nn.Conv2d(32, 48, 1), nn.PixelShuffle(4))
        >>> found = wb.compare({"shallow": net(1), "deep": net(8)}, protocol="cpu", budget=1)
        >>> found.sentences()  # doctest: +ELLIPSIS
        ['shallow is ...x [...] faster than deep on ...']
        >>> bool(found.ratios.loc[("shallow", "deep"), "median"] > 1)
        True
    """
    from . import asked, views

    with asked.in_python():
        chosen = asked.networks(models[0] if len(models) == 1 else list(models), scale, twice=True)
        base = None if vs is None else asked.base(vs, chosen, scale)
        return views.compared(chosen, base, protocol, precision, budget)


def table(
    name: str,
    *,
    add: Models | None = None,
    drop: str | Sequence[str] = (),
    only: int | str | Sequence[int | str] = (),
    columns: str | Sequence[str] = (),
    scale: int | None = None,
    records: str | Path | None = None,
) -> Shown:
    """A published table with what records say of it: a frame with a row for each cell, its verdict among the columns.

    A notebook shows it as the table that was printed, figures measured here beside it. `add` puts networks of your own
    below the rows of their scale, best and second best anew: what of them can be counted or planned is measured, and
    nothing else ever is. `drop` leaves methods out, `only` names scales (4 or "x4"), `columns` those to show.

        >>> import workbench as wb
        >>> from torch import nn
        >>> cells = wb.table("esc-table2")
        >>> cells.query("method == 'ESC' and scale == 4 and column == 'params_k'")["printed"].item()
        '968'
        >>> net = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
        >>> cells = wb.table("esc-table2", add={"Ours": net}, only=4, columns=["params", "macs"])
        >>> cells.query("method == 'Ours'")["measured"].tolist()  # in the units of the table, K and G
        [1.344, 0.0746496]
    """
    from . import asked, frames

    with asked.in_python():
        place, folder = asked.table(name), asked.folder(records)
        added = {} if add is None else asked.networks(add, scale)
        rows, shown = asked.words(drop, "drop", "SwinIR-lt"), asked.words(columns, "columns", "params")
        scales = asked.scales(only)
        if not (added or scales or rows or shown):
            return frames.published(place, folder)
        return frames.changed(place, added, rows, scales, shown, asked.Store.of(records, None, None, False))
