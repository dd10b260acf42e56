"""What printed digits say of a value: whether it rounds to them, was cut off to them, and under which protocols."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal

from workbench.spec import Record, UserError

LEAST = 1000
"""Parameters and multiply-adds that any network has: fewer, without a unit, were printed in K, M, G or T."""

COUNTS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
BYTES = {"KB": 2.0**10, "MB": 2.0**20, "GB": 2.0**30, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
"""As torch's users print memory: an MB is 2**20 bytes."""
SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
UNITS: Mapping[str, Mapping[str, float]] = {
    "params": COUNTS,
    "macs": COUNTS,
    "memory": BYTES,
    "planned": BYTES,
    "latency": SECONDS,
}
"""What a printed figure may have written behind it, by the probe of its column."""


@dataclass(frozen=True)
class Search:
    """What came out of looking for a printed figure among the known protocols."""

    rounded: tuple[str, ...]
    """Protocols whose figure rounds to the printed digits, the simplest first."""
    cut: tuple[str, ...]
    """Protocols whose figure was not rounded but cut off to the printed digits."""
    nearest: str
    """The protocol that comes nearest."""
    values: Mapping[str, float]
    """The figure of every protocol that gives one of its own."""
    tried: int
    """How many protocols were tried; most change nothing for a given network."""

    @property
    def fits(self) -> tuple[str, ...]:
        return self.rounded + self.cut

    @property
    def distinct(self) -> int:
        """How many different figures there were to choose from."""
        return len(set(self.values.values()))

    def __str__(self) -> str:
        """`2 fit of 384 protocols tried, which give 28 distinct figures`."""
        many = f"{len(self.fits)} fit" if len(self.fits) != 1 else "1 fits"
        return f"{many} of {self.tried} protocols tried, which give {self.distinct} distinct figures"


def split(figure: str, probe: str) -> tuple[str, float | None]:
    """A figure without its unit, and that in base units; None where none that its probe knows is written."""
    match = re.fullmatch(r"(.*[\d.])\s*([a-zµ]+)", figure.strip(), re.IGNORECASE)
    known = {name.lower(): factor for name, factor in UNITS.get(probe, {}).items()}
    if not match or match[2].lower() not in known:
        return figure.strip(), None
    return match[1], known[match[2].lower()]


def moved(figure: str, factor: float, other: float) -> str:
    """A figure in another unit, as exact as it was: 0.91 M is 9.1E+2 K, of which the last digit is unknown."""
    by = Decimal(str(factor)) / Decimal(str(other))
    ten = by.normalize()
    if ten.as_tuple().digits == (1,):
        return str(Decimal(figure).scaleb(int(ten.as_tuple().exponent)))
    return f"{(Decimal(figure) * by).normalize():f}"


def parse(figure: str) -> tuple[str, float]:
    """A printed figure such as 244.2G, 772K or 1,234,567: its digits as printed, and its unit in base units."""
    bare, factor = split(figure, "params")
    match = re.fullmatch(r"(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?", bare)
    if not match:
        raise UserError(
            f"The figure {figure!r} cannot be read; write digits and, if printed so, one of K, M, G, T: 244.2G, 772K."
        )
    whole, decimals = match.groups()
    digits = whole.replace(",", "") + (decimals or "")
    if not factor and float(digits) < LEAST:
        raise UserError(
            f"The figure {figure!r} has no unit, and no network has so few; write the unit that it was printed in, as "
            f"in {digits}G or {digits}K."
        )
    return digits, factor or 1.0


def search(record: Record, printed: str, factor: float) -> Search:
    """Look for a printed figure among the values of a search record; `factor` is one printed unit in base units."""
    values = dict(zip(record.details["protocols"], record.values, strict=True))
    scaled = {name: Decimal(value) / Decimal(factor) for name, value in values.items()}
    rounded = tuple(name for name, value in scaled.items() if rounds_to(value, printed))
    cut = tuple(name for name, value in scaled.items() if name not in rounded and cuts_to(value, printed))
    nearest = min(scaled, key=lambda name: abs(scaled[name] - Decimal(printed)))
    return Search(rounded, cut, nearest, values, record.details["tried"])


def last(printed: str) -> Decimal:
    """What the last printed digit counts: 0.01 of 1.23."""
    exponent = Decimal(printed).as_tuple().exponent
    assert isinstance(exponent, int), f"{printed} is no number"  # else a letter, of infinity and NaN
    return Decimal(1).scaleb(exponent)


def rounds_to(value: Decimal, printed: str) -> bool:
    """Whether a value, rounded to as many decimals as are printed, is what is printed; ties may go either way."""
    digit = last(printed)
    return Decimal(printed) in (value.quantize(digit, ROUND_HALF_UP), value.quantize(digit, ROUND_HALF_DOWN))


def cuts_to(value: Decimal, printed: str) -> bool:
    """Whether a value, cut off after as many decimals as are printed, is what is printed."""
    return value.quantize(last(printed), ROUND_DOWN) == Decimal(printed)


def left_open(printed: str) -> float:
    """How far a figure may be from its printed digits: half of what the last of them counts."""
    return float(last(printed) / 2)
