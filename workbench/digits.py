"""What printed digits say of the value behind them."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal


def rounds_to(value: Decimal, printed: str) -> bool:
    """Whether a value, rounded to as many decimals as are printed, is what is printed; ties may go either way."""
    digits = Decimal(1).scaleb(Decimal(printed).as_tuple().exponent)  # type: ignore[arg-type]
    return Decimal(printed) in (value.quantize(digits, ROUND_HALF_UP), value.quantize(digits, ROUND_HALF_DOWN))


def cuts_to(value: Decimal, printed: str) -> bool:
    """Whether a value, cut off after as many decimals as are printed, is what is printed."""
    digits = Decimal(1).scaleb(Decimal(printed).as_tuple().exponent)  # type: ignore[arg-type]
    return value.quantize(digits, ROUND_DOWN) == Decimal(printed)
