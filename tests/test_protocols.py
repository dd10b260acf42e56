"""Protocols: names with modifiers, and the space in which a printed figure is looked for."""

from dataclasses import asdict

import pytest

from workbench import probes, protocols
from workbench.protocols import MODIFIERS, PROTOCOLS, find, simpler, space
from workbench.spec import UserError


def test_a_modifier_changes_its_field_and_nothing_else():
    plain, changed = asdict(find("esc")), asdict(find("esc+ceil"))
    assert changed.pop("name") == "esc+ceil"
    assert plain.pop("name") == "esc"
    assert "ceil(side / scale)" in changed.pop("title")
    plain.pop("title")
    assert changed["input"].pop("rounding") == "ceil"
    assert plain["input"].pop("rounding") == "floor"
    assert plain == changed


def test_modifiers_add_up_in_any_order_under_one_name():
    assert find("esc+scan+ceil") == find("esc+ceil+scan")
    assert find("esc+scan+ceil").name == "esc+ceil+scan"
    assert find("esc+scan").counting.selective_scan


@pytest.mark.parametrize("name", MODIFIERS)
def test_every_modifier_changes_fields_that_there_are(name):
    base = {"faithful": "steady", "cpu": "esc"}.get(name, "torch")  # one where it changes something
    for part, changes in MODIFIERS[name].parts().items():
        changed = getattr(find(f"{base}+{name}"), part)
        assert changes
        assert {field: getattr(changed, field) for field in changes} == dict(changes)
        assert changed != getattr(PROTOCOLS[base], part) or name in ("a100", "set5")  # which says what is so anyway


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "ecs",
            r"No protocol 'ecs'\. Did you mean 'esc'\? Known: esc, hitsr, fvcore, torch, hooks, steady, cpu, quality\.",
        ),
        ("esc+cel", r"No modifier of a protocol 'cel'\. Did you mean 'ceil'.*workbench protocols"),
        ("esc+", r"Protocol 'esc\+' has a \+ without a modifier behind it; "),
        ("esc+sdpa+flex", r"Protocol 'esc\+sdpa\+flex': \+sdpa and \+flex both set 'attention'; keep one of them\."),
        ("", r"No protocol ''\. "),
    ],
)
def test_a_name_that_is_none_has_its_sentence(name, sentence):
    with pytest.raises(UserError, match=f"^{sentence}"):
        find(name)


def test_the_space_holds_every_combination_once_the_simplest_first():
    names = [p.name for p in space("macs")]
    assert len(names) == len(set(names)) == 3 * 2**7
    assert names[:3] == ["fvcore", "torch", "hooks"]
    sizes = [name.count("+") for name in names]
    assert sizes == sorted(sizes)
    assert [p.name for p in space("params")] == ["fvcore", "fvcore+trainable", "hooks"]


@pytest.mark.parametrize("probe", [p for p in probes.PROBES.values() if p.across], ids=lambda p: p.name)
def test_a_search_of_version_1_has_this_space(probe):
    """A changed space makes older searches stale: raise the version then, and this number."""
    assert (probe.version, len(space(str(probe.across)))) in {(1, 384), (1, 3), (1, 24)}


def test_every_simpler_protocol_of_the_space_is_in_it():
    names = {p.name for p in space("macs")}
    assert set(simpler("fvcore+ceil+scan")) == {"fvcore+ceil", "fvcore+scan"}
    assert all(set(simpler(name)) <= names for name in names)


def test_the_papers_ways_are_fvcore_s():
    for name in ("esc", "hitsr"):
        mine, fvcore = asdict(find(name)), asdict(find("fvcore"))
        assert {k for k in mine if mine[k] != fvcore[k]} - {"execution", "timing"} == {"name", "title"}
    assert protocols.find("hooks").counting.parameters == "hook-visible"


def test_the_papers_time_on_a_gpu_and_the_project_s_own_way_on_the_cpu():
    esc, steady = find("esc"), find("steady")
    assert (esc.timing.warmup, esc.timing.runs, esc.timing.statistic) == (100, 100, "median")
    assert (esc.execution.device, esc.execution.cudnn_benchmark) == ("cuda", True)
    assert (steady.execution.device, steady.build.forward, steady.input.lr(4)) == ("cpu", "lean", (64, 64))
    assert (steady.timing.warmup, steady.timing.runs) == (0, 0)
    cpu = find("cpu")
    assert [cpu.input.lr(scale) for scale in (2, 3, 4)] == [(48, 48), (32, 32), (24, 24)]
    assert (cpu.execution.device, cpu.execution.threads, cpu.build.forward) == ("cpu", 1, "lean")
    assert find("steady+cuda").execution.device == find("hitsr").execution.device == "cuda"
    with pytest.raises(UserError, match=r"\+compile and \+graph both set 'compile'; keep one of them\.$"):
        find("steady+compile+graph")


def test_tf32_is_said_to_measurement_and_bound_in_the_same_words():
    for name, allowed in (("esc", (True, False)), ("esc+tf32", (True, True)), ("esc+no-tf32", (False, False))):
        for part in (find(name).execution, find(name).bound):
            assert (part.tf32_convolutions, part.tf32_products) == allowed
    both = find("esc+no-tf32+tf32").execution
    assert (both.tf32_convolutions, both.tf32_products) == (False, True)


@pytest.mark.parametrize("probe", [p for p in probes.PROBES.values() if not p.real], ids=lambda p: p.name)
def test_no_count_depends_on_how_time_is_measured(probe):
    assert find("esc").read(probe.reads, 4) == find("esc+cpu").read(probe.reads, 4)
    assert not {"execution", "timing"} & set(probe.reads)
