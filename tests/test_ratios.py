"""Ratios of times: by hand, how often their intervals hold, and when they agree with printed ones."""

from dataclasses import replace

import numpy as np
import pytest

from workbench import ratios, timing
from workbench.ratios import Ratio, ratio


@pytest.fixture
def timed(make_record):
    """A record of some runs, in seconds."""

    def timed(*values, variant="esc-x4", protocol="cpu"):
        return make_record(variant, "latency", protocol, values=values)

    return timed


def test_a_ratio_by_hand_with_what_the_printed_digits_leave_open(timed):
    found = ratio("ESC", timed(0.3, 0.3, 0.3, variant="rdn-x4"), timed(0.1, 0.1, 0.1), "66.0", "21.9")
    assert (found.to, found.protocol) == ("ESC", "cpu")
    assert (found.measured, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0))
    assert found.printed == pytest.approx(66.0 / 21.9)
    assert (found.printed_low, found.printed_high) == pytest.approx((65.95 / 21.95, 66.05 / 21.85))
    assert found.difference == pytest.approx(3.0 / (66.0 / 21.9) - 1)


def test_the_figure_is_the_statistic_of_the_protocol(timed):
    mine, its = timed(1.0, 1.0, 10.0), timed(1.0, 1.0, 1.0, variant="rdn-x4")
    assert ratio("RDN", mine, its).measured == 1.0
    mean = {**mine.conditions, "timing": {**mine.conditions["timing"], "statistic": "mean"}}
    assert ratio("RDN", replace(mine, conditions=mean), its).measured == 4.0


def test_the_reference_takes_as_long_as_itself_whatever_its_runs(timed):
    its = timed(1.0, 2.0, 3.0, 4.0)
    found = ratio("ESC", its, replace(its), "21.9", "21.9")
    assert (found.measured, found.low, found.high, found.printed) == (1, 1, 1, 1)
    assert (found.printed_low, found.printed_high) == (1, 1)


def test_without_a_printed_figure_nothing_agrees(timed):
    for printed in ((None, None), ("66.0", None), (None, "21.9")):
        found = ratio("ESC", timed(0.3, variant="rdn-x4"), timed(0.1), *printed)
        assert (found.printed, found.difference) == (None, None)
        assert not found.agrees(1.0)


@pytest.mark.parametrize(
    ("low", "measured", "high", "agrees"),
    [
        (2.95, 3.0, 3.05, True),
        (3.2, 3.25, 3.3, True),  # the interval misses, the ratio is within 10 %
        (2.6, 2.7, 2.8, True),
        (3.35, 3.5, 3.7, False),
        (3.09, 3.5, 3.7, True),  # the interval reaches what the digits leave open
        (3.11, 3.5, 3.7, False),
    ],
)
def test_it_agrees_when_its_interval_holds_the_printed_one_or_it_is_near_enough(low, measured, high, agrees):
    assert Ratio("ESC", measured, low, high, "esc", 3.0, 2.9, 3.1).agrees(0.1) is agrees


def test_what_is_told_of_it():
    found = Ratio("ESC", 3.104, 3.0, 3.2, "esc", 11.66, 11.6, 11.7)
    assert found.told(0.1) == "3.1 times ESC's [3, 3.2], printed 11.7, -73.4%; the tolerance is 10%"
    assert replace(found, printed=None).told(0.1) == "3.1 times ESC's [3, 3.2]"


def series(generator, seconds, runs):
    """Runs whose noise remembers a little, with a spike now and then."""
    noise, taken = 0.0, []
    for kick, spike in zip(generator.normal(size=runs), generator.random(size=runs), strict=True):
        noise = 0.3 * noise + 0.02 * kick
        taken.append(float(seconds * np.exp(noise) * (1.5 if spike < 0.03 else 1)))
    return tuple(taken)


def test_intervals_hold_the_true_ratio_in_95_of_100_trials(timed):
    generator, trials, held, narrow = np.random.default_rng(5), 200, 0, 0
    for _ in range(trials):
        found = ratio("A", timed(*series(generator, 0.2, 40), variant="rdn-x4"), timed(*series(generator, 0.1, 40)))
        held += found.low <= 2 <= found.high
        middle, half = found.measured, (found.high - found.low) / 6  # a third of the width must fail, or this cannot
        narrow += middle - half <= 2 <= middle + half
    assert held >= 0.95 * trials
    assert narrow < 0.9 * trials


def test_the_interval_of_a_figure_is_that_of_its_runs(timed):
    values = series(np.random.default_rng(1), 1.0, 30)
    assert ratios.interval(timed(*values)) == timing.interval(values)


def test_runs_are_drawn_apart_for_the_two(timed):
    """Of a series and its double, one draw of both would give the ratio 2 every time and no interval at all."""
    values = series(np.random.default_rng(2), 1.0, 40)
    found = ratio("A", timed(*(2 * v for v in values), variant="rdn-x4"), timed(*values))
    assert found.low < 1.999
    assert found.high > 2.001
