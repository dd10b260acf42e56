"""The nouns: input sizes, what a probe reads of a protocol, and the sentence for an unknown name."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from workbench.protocols import PROTOCOLS, find
from workbench.spec import Input, Protocol, unknown

ESC = PROTOCOLS["esc"]
CEIL = find("esc+ceil")


@pytest.mark.parametrize(
    ("rounding", "scale", "lr"),
    [
        ("floor", 2, (360, 640)),
        ("floor", 3, (240, 426)),
        ("floor", 4, (180, 320)),
        ("ceil", 2, (360, 640)),
        ("ceil", 3, (240, 427)),
        ("ceil", 4, (180, 320)),
    ],
)
def test_the_input_of_an_output_of_1280x720(rounding, scale, lr):
    assert Input(rounding=rounding).lr(scale) == lr


def test_a_name_in_other_letters_is_the_one_that_is_meant():
    told = str(unknown("method", "esc", ["ATD-lt", "ESC", "ESC-FP"], "a list"))
    assert told == "No method 'esc'. Did you mean 'ESC'? Known: ATD-lt, ESC, ESC-FP."
    assert "Did you mean 'set5'?" in str(unknown("set", "Set5", ["set14", "set5"], ""))


def test_ceil_rounds_up_each_side_by_itself():
    assert Input(hr=(9, 10), rounding="ceil").lr(4) == (3, 3)
    assert Input(hr=(8, 9), rounding="ceil").lr(4) == (2, 3)
    assert Input(hr=(9, 10)).lr(4) == (2, 2)


@pytest.mark.parametrize("scale", [2, 4])
def test_floor_and_ceil_are_one_condition_where_they_give_one_size(scale):
    assert ESC.read(["input"], scale) == CEIL.read(["input"], scale)


def test_floor_and_ceil_differ_at_x3():
    floor, ceil = ESC.read(["input"], 3)["input"], CEIL.read(["input"], 3)["input"]
    assert {k for k in floor if floor[k] != ceil[k]} == {"lr"}
    assert (floor["lr"], ceil["lr"]) == ([240, 426], [240, 427])


def test_a_part_is_read_whole_and_a_leaf_alone():
    assert ESC.read(["build"], 4) == {
        "build": {"attention": "naive", "forward": "faithful", "mode": "eval", "shifted": True}
    }
    assert ESC.read(["counting.parameters"], 4) == {"counting": {"parameters": "total"}}
    assert ESC.read(["counting.parameters", "counting.layer_norm"], 4) == {
        "counting": {"parameters": "total", "layer_norm": True}
    }
    assert ESC.read([], 4) == {}


def test_what_is_not_read_makes_no_difference():
    renamed = replace(ESC, name="other", title="another title", input=Input(batch=2))
    assert renamed.read(["counting"], 4) == ESC.read(["counting"], 4)
    assert renamed.read(["input"], 4) != ESC.read(["input"], 4)


def test_conditions_are_what_a_record_read_back_has():
    read = ESC.read(["input", "build", "counting"], 3)
    assert json.loads(json.dumps(read)) == read


@pytest.mark.parametrize("path", ["inputs", "counting.layers"])
def test_a_misspelt_part_is_a_bug_and_no_condition(path):
    with pytest.raises((AttributeError, KeyError)):
        ESC.read([path], 4)


def test_protocols_are_listed_under_their_names():
    assert list(PROTOCOLS) == [p.name for p in PROTOCOLS.values()]
    assert all(p.title and "\n" not in p.title for p in PROTOCOLS.values())


def test_nouns_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Protocol("p", "t").name = "q"


def test_an_unknown_name_among_few_names_them_all():
    assert str(unknown("protocol", "ecs", ["esc", "esc+ceil"], "workbench protocols")) == (
        "No protocol 'ecs'. Did you mean 'esc'? Known: esc, esc+ceil."
    )


def test_an_unknown_name_among_many_names_the_listing():
    names = [f"esc-light-x{n}" for n in range(2, 12)]
    assert str(unknown("variant", "Nothing_like_it", names, "workbench variants")) == (
        "No variant 'Nothing_like_it'. 10 are known; list them: workbench variants"
    )
    near = str(unknown("variant", "ESC_lite_x2", names, "workbench variants"))
    assert near.startswith("No variant 'ESC_lite_x2'. Did you mean 'esc-light-x2' or ")
