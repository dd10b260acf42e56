"""Sweep files: what a grid asks for, what filters leave of it, and every way to write one wrong."""

import pytest

from workbench import grids
from workbench.spec import UserError


@pytest.fixture
def asked(tmp_path):
    """What a sweep file of that text asks for, as words."""

    def read(text):
        file = tmp_path / "sweep.toml"
        file.write_text(text)
        found = grids.read(file, tmp_path)
        return [str(r) for r in found.requests], found.excluded

    return read


def test_a_grid_is_every_combination_in_the_order_of_the_file(asked):
    text = """
    [[grid]]
    models = ["rfdn", "esc-fp-x4"]
    scale = [2, 4]
    probes = "macs"
    protocols = ["esc", "torch"]
    """
    names = ("esc-fp-x4", "rfdn-x2", "rfdn-x4")  # the catalogue's order
    assert asked(text) == ([f"macs of {n} under {p}" for p in ("esc", "torch") for n in names], 0)


def test_an_axis_is_a_modifier_or_none(asked):
    text = """
    [[grid]]
    models = "esc-x4"
    probes = "latency"
    protocols = "steady+cuda"
    hr = ["default", "1080p"]
    attention = "sdpa"
    gpu = ["a100", "rtx-4090"]
    """
    sizes, gpus = ("", "+hr1080p"), ("a100", "rtx-4090")
    wanted = {frozenset(f"steady{s}+sdpa+cuda+{g}".split("+")) for s in sizes for g in gpus}
    assert {frozenset(w.rpartition(" ")[2].split("+")) for w in asked(text)[0]} == wanted


def test_what_is_asked_twice_is_measured_once(asked):
    grid = '[[grid]]\nmodels = "esc-x4"\nprobes = "params"\n'
    assert asked(grid + grid + 'protocols = "fvcore"\n') == (["params of esc-x4 under esc"], 0)  # it reads no more


def test_filters_leave_out_what_any_of_them_picks_by_all_it_says(asked):
    text = """
    [[grid]]
    models = ["esc-x*", "rfdn"]
    probes = ["params", "macs"]
    exclude = [{ models = "esc", scale = [2, 3] }, { models = "rfdn-x*", probes = "params" }]
    """
    found, excluded = asked(text)
    assert found == [
        "params of esc-x4 under esc",
        "macs of esc-x4 under esc",
        *(f"macs of rfdn-x{s} under esc" for s in (2, 3, 4)),
    ]
    assert excluded == 7
    only = text.replace("exclude", "only")
    assert asked(only)[1] == 5
    assert set(asked(only)[0]) | set(found) == set(asked(text.partition("exclude")[0])[0])
    both = text + "    only = { scale = 4 }\n"
    assert asked(both)[0] == [*found[:2], "macs of rfdn-x4 under esc"]


def test_a_file_of_another_editor_and_a_scale_as_tables_have_it(asked):
    assert asked('\ufeff[[grid]]\nmodels = "esc"\nprobes = "params"\nscale = "x4"\n') == (
        ["params of esc-x4 under esc"],
        0,
    )


GRID = '[[grid]]\nmodels = "esc-x4"\nprobes = "params"\n'

WRONG = {
    "no TOML": ("[[grid", "is no TOML: "),
    "no text": ("\udcff", "is no text in UTF-8 (byte 0); save it in UTF-8."),
    "empty": ("", "asks for no measurement: it has no [[grid]]"),
    "another table": ('[[grids]]\nmodels = "esc"', "1: grids: there is no such key. Did you mean 'grid'? Known: grid"),
    "no list": ('[grid]\nmodels = "esc"', "begin each grid with a line [[grid]]"),
    "a number": ("grid = 3", "begin each grid with a line [[grid]]"),
    "another key": (GRID + "protocol = 'esc'", "grid[1].protocol: there is no such key. Did you mean 'protocols'"),
    "no models": ("[[grid]]\nscale = 4", "grid[1].models: it is missing; say which"),
    "another model": ("[[grid]]\nmodels = 'esc-lite'", "No variant 'esc-lite'. Did you mean"),
    "another probe": (GRID.replace("params", "parms"), "No probe 'parms'. Did you mean 'params'"),
    "another protocol": (GRID + "protocols = 'cup'", "No protocol 'cup'. Did you mean 'cpu'"),
    "another scale": (GRID + "scale = 8", "line 4: grid[1].scale: none of esc-x4 is at x8; networks are at 2, 3, 4."),
    "another value": (GRID + "attention = 'spda'", "'spda'. Did you mean 'sdpa'? Known: default, sdpa, flex."),
    "an axis at odds": (GRID + "protocols = 'esc+flex'\nattention = 'sdpa'", "+flex and +sdpa both set 'attention'"),
    "a value of no kind": (GRID + "hr = 1.5", "line 4: grid[1].hr: 1.5 is no name; give one, or a list of names."),
    "a switch": (GRID + "scale = true", "scale: True is no name"),
    "two weights": (GRID + "weights = ['a', 'b']", "make a grid for each"),
    "a filter of no kind": (GRID + "exclude = 'esc'", "exclude: it is no list of tables; write: [{"),
    "an empty filter": (GRID + "only = {}", "only: number 1 is an empty table, which would pick all; write: [{ models"),
    "an empty table": (GRID + "exclude = [{}]", "exclude: number 1 is an empty table, which would pick all; write: [{"),
    "a scale in words": (GRID + "scale = 'xfour'", "scale: 'four' is no scale; networks are at 2, 3, 4."),
    "a filter's key": (GRID + "only = { model = 'esc' }", "only[1].model: there is no such key. Did you mean 'models'"),
    "a filter of nothing": (
        GRID + "exclude = { models = 'esc-*', scale = 2 }",
        "exclude: number 1 (models esc-*, scale 2) picks none of the grid's 1 measurements",
    ),
    "keys without a grid": ('models = "esc"', "line 1: models: it is of a grid; begin each grid with a line [[grid]]"),
    "no model": ("[[grid]]\nmodels = []", "sweep.toml, line 2: grid[1].models: it is an empty list, which asks for"),
    "no probe": (GRID.replace('"params"', "[]"), "line 3: grid[1].probes: it is an empty list"),
    "a set in capitals": (GRID + "set = ['Set5']", "line 4: grid[1].set: No value 'Set5'. Did you mean 'set5'? K"),
    "a model in capitals": ("[[grid]]\nmodels = 'IMDN'", "2: grid[1].models: No variant 'IMDN'. Did you mean 'imdn"),
    "a scale that is no whole number": (GRID + "scale = [2.0]", "line 4: grid[1].scale: [2.0] is no name"),
    "nothing left": (GRID + "exclude = { scale = 4 }", "asks for no measurement: its filters leave out all 1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_mistake_is_told_in_one_line(tmp_path, wrong):
    text, told = WRONG[wrong]
    file = tmp_path / "sweep.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError) as error:
        grids.read(file, tmp_path)
    assert told in str(error.value)
    assert str(error.value).count("\n") == 0
    assert str(error.value).count(str(file)) == 1


def test_a_file_that_is_not_there_and_one_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read .*none.toml: .*\. Name a TOML file that describes a sweep"):
        grids.read(tmp_path / "none.toml", tmp_path)
    with pytest.raises(UserError, match="Is a directory"):
        grids.read(tmp_path, tmp_path)


def test_every_value_of_every_axis_is_a_modifier(request_for):
    for axis, values in grids.AXES.items():
        for modifier in values.values():
            assert request_for("esc-x4", "macs", f"fvcore+{modifier}").protocol.name == f"fvcore+{modifier}", axis
