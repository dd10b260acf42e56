"""Execution: what has to be measured, what a failure becomes, and what a fresh process keeps away from us."""

import re
import signal
import sys
from dataclasses import replace
from types import SimpleNamespace

import children
import pytest
import torch

from workbench import execute, models, probes, protocols, store
from workbench.probes import Probe, Reading
from workbench.spec import Build, UserError

# --- what is asked for


def test_names_and_globs_are_resolved_in_the_order_of_the_catalogue():
    catalogue = list(models.VARIANTS)
    found = [v.name for v in execute.resolve(["hit-srf-x4", "esc*-x4", "esc-x4"])]
    assert found == sorted(found, key=catalogue.index)
    assert set(found) == {"esc-x4", "esc-light-x4", "esc-fp-x4", "hit-srf-x4"}
    assert [v.name for v in execute.resolve(["*"])] == catalogue
    assert [v.name for v in execute.resolve(["esc-fp-x[23]"])] == ["esc-fp-x2", "esc-fp-x3"]


@pytest.mark.parametrize("name", ["esc", "ESC-x4", "esc-x5", "nothing*", ""])
def test_a_name_that_picks_nothing_is_an_error_though_others_pick_something(name):
    with pytest.raises(UserError, match=rf"No variant '{name.replace('*', '[*]')}'\..* workbench variants"):
        execute.resolve(["esc-x4", name])


def test_every_variant_is_asked_for_under_every_protocol_by_every_probe():
    asked = execute.requests(["esc-x2", "esc-x3"], ["params", "macs"], ["esc", "esc+ceil"])
    assert [str(r) for r in asked] == [
        f"{probe} of {variant} under {protocol}"
        for variant in ("esc-x2", "esc-x3")
        for protocol in ("esc", "esc+ceil")
        for probe in ("params", "macs")
    ]


def test_unknown_probes_and_protocols_have_their_sentences():
    with pytest.raises(UserError, match=r"^No probe 'flops'\. .*workbench probes"):
        execute.requests(["esc-x4"], ["flops"], ["esc"])
    with pytest.raises(UserError, match=r"^No protocol 'escc'\. Did you mean 'esc'"):
        execute.requests(["esc-x4"], ["macs"], ["escc"])


# --- what is missing


def known(*records):
    return store.Contents(records, ()).newest()


def test_what_a_record_answers_is_not_missing(make_record, request_for):
    asked = request_for("esc-x4")
    assert execute.missing([asked], {}) == [asked]
    assert execute.missing([asked], known(make_record("esc-x4"))) == []
    assert execute.missing([asked], known(make_record("esc-x2"), make_record(probe="macs"))) == [asked]


def test_force_measures_what_is_known(make_record, request_for):
    asked = request_for("esc-x4")
    assert execute.missing([asked], known(make_record("esc-x4")), force=True) == [asked]


@pytest.mark.parametrize("force", [False, True])
def test_two_protocols_of_the_same_conditions_are_one_measurement(request_for, force):
    floor, ceil = (request_for("esc-x4", "macs", p) for p in ("esc", "esc+ceil"))
    assert execute.missing([floor, ceil, floor], {}, force) == [floor]
    floor, ceil = (request_for("esc-x3", "macs", p) for p in ("esc", "esc+ceil"))
    assert execute.missing([floor, ceil], {}, force) == [floor, ceil]


@pytest.mark.parametrize(
    ("status", "again"),
    [("failed", True), ("out-of-memory", False), ("timeout", True), ("unsupported", False)],
)
def test_a_failure_or_a_timeout_is_measured_again_and_what_cannot_be_stands(make_record, request_for, status, again):
    asked = request_for("esc-x4")
    record = make_record("esc-x4", status=status, reason="some reason")
    assert execute.missing([asked], known(record)) == [asked] * again


def test_a_new_version_of_a_probe_makes_its_records_stale_and_no_others(make_record, request_for, monkeypatch):
    old = known(make_record("esc-x4"), make_record("esc-x4", "macs"))
    newer = replace(probes.PROBES["params"], version=probes.PROBES["params"].version + 1)
    monkeypatch.setitem(probes.PROBES, "params", newer)
    asked = [request_for("esc-x4", p) for p in ("params", "macs")]
    assert execute.missing(asked, old) == asked[:1]
    assert execute.missing(asked, old | known(make_record("esc-x4"))) == []


@pytest.mark.parametrize(("recorded", "missing"), [("esc+sdpa", True), ("fvcore", True), ("esc", False)])
def test_that_a_network_lacks_a_form_is_no_answer_about_what_every_form_has(
    make_record, request_for, recorded, missing
):
    asked = request_for("imdn-x4", "params", "esc")
    record = make_record("imdn-x4", "params", recorded, status="unsupported", reason="no such attention")
    assert asked.identity == store.identity("imdn-x4", "params", record.probe_version, record.conditions)
    assert execute.missing([asked], {asked.identity: record}) == ([asked] if missing else [])


def test_parameters_are_counted_whatever_form_a_protocol_names(request_for):
    forms = [execute.measure(request_for("imdn-x4", "params", name)) for name in ("esc", "esc+sdpa", "esc+unshifted")]
    assert [(r.status, r.value) for r in forms] == [("ok", 715176)] * 3


def test_a_timed_probe_is_missing_on_another_machine_and_a_count_is_not(make_record, request_for, monkeypatch):
    monkeypatch.setitem(probes.PROBES, "params", replace(probes.PROBES["params"], timed=True))
    here = known(make_record("esc-x4"))
    assert execute.missing([request_for("esc-x4")], here) == []
    monkeypatch.setattr(execute.environment, "machine", lambda: "another machine")
    assert execute.missing([request_for("esc-x4")], here) == [request_for("esc-x4")]
    counted = known(make_record("esc-x4", "macs"))
    assert execute.missing([request_for("esc-x4", "macs")], counted) == []


def test_an_answer_carries_the_protocol_that_was_asked_for(make_record, request_for):
    records = known(make_record("esc-x4", "macs", "esc", values=(7,)))
    answer = execute.answer(request_for("esc-x4", "macs", "esc+ceil"), records)
    assert (answer.protocol, answer.values) == ("esc+ceil", (7,))


# --- one measurement here


def faulty(monkeypatch, request_for, measure):
    """A request whose probe does what the test wants."""
    monkeypatch.setitem(sys.modules, "workbench.probes.faulty", SimpleNamespace(measure=measure))
    return replace(request_for(), probe=Probe("faulty", "count", 1, ("input",)))


def raising(error):
    def measure(model, x, protocol):
        raise error

    return measure


def test_a_measurement_becomes_a_record_with_its_provenance(request_for):
    asked = request_for("esc-fp-x4", "params")
    record = execute.measure(asked)
    assert (record.status, record.reason, record.values, record.unit) == ("ok", None, (539263,), "count")
    assert (record.variant, record.protocol, record.probe) == ("esc-fp-x4", "esc", "params")
    assert store.Contents((record,), ()).newest().keys() == {asked.identity}
    assert record.recorded_at.endswith("Z")
    assert record.environment.keys() >= {"cpu", "cores", "gpus", "driver", "python", "versions", "commit", "dirty"}
    assert record.environment["versions"]["torch"]
    assert record.machine


def test_a_probe_gets_the_network_and_input_of_the_protocol(request_for, monkeypatch):
    seen = {}

    def measure(model, x, protocol):
        seen.update(shape=tuple(x.shape), device=x.device.type, training=model.training, protocol=protocol.name)
        return Reading((1,), {})

    asked = replace(faulty(monkeypatch, request_for, measure), variant=models.find("esc-fp-x3"))
    assert execute.measure(asked).status == "ok"
    assert seen == {"shape": (1, 3, 240, 426), "device": "meta", "training": False, "protocol": "esc"}


class OutOfMemoryError(RuntimeError):
    """As torch calls its own."""


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (UserError("this cannot be"), "unsupported", "this cannot be"),
        (MemoryError(), "out-of-memory", "the machine's memory was exhausted"),
        (OutOfMemoryError("CUDA out of memory"), "out-of-memory", "OutOfMemoryError: CUDA out of memory"),
        (ZeroDivisionError("by zero"), "failed", "ZeroDivisionError: by zero"),
    ],
)
def test_what_goes_wrong_becomes_a_record_that_says_so(request_for, monkeypatch, filled, error, status, reason):
    record = execute.measure(faulty(monkeypatch, request_for, raising(error)))
    assert (record.status, record.reason, record.values) == (status, reason, ())
    assert store.read(filled(record)).records == (record,)


def test_a_failure_keeps_its_traceback(request_for, monkeypatch):
    record = execute.measure(faulty(monkeypatch, request_for, raising(ZeroDivisionError("by zero"))))
    assert "in measure" in record.details["traceback"]
    assert record.details["traceback"].endswith("ZeroDivisionError: by zero\n")


@pytest.mark.parametrize("detail", [float("nan"), torch.ones(1)])
def test_details_that_cannot_be_stored_are_a_failure_of_the_probe(request_for, monkeypatch, filled, detail):
    record = execute.measure(faulty(monkeypatch, request_for, lambda *_: Reading((1,), {"other": [detail]})))
    assert record.status == "failed"
    assert "JSON" in record.reason
    assert store.read(filled(record)).records == (record,)


def test_an_interruption_is_no_record(request_for, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        execute.measure(faulty(monkeypatch, request_for, raising(KeyboardInterrupt())))


@pytest.mark.parametrize("values", [(float("nan"),), (1.0, float("inf")), ()])
def test_a_probe_that_returns_no_number_has_failed(request_for, monkeypatch, filled, values):
    record = execute.measure(faulty(monkeypatch, request_for, lambda *_: Reading(values, {})))
    assert record.status == "failed"
    assert "faulty returned" in record.reason
    assert store.read(filled(record)).records == (record,)


def test_a_network_that_lacks_the_protocol_s_attention_is_unsupported(request_for):
    for variant, attention in (("hit-srf-x4", "flex"), ("esc-fp-x4", "flash")):
        protocol = replace(protocols.find("esc"), build=Build(attention=attention))
        record = execute.measure(replace(request_for(variant, "macs"), protocol=protocol))
        assert record.status == "unsupported"
        assert record.reason.startswith(f"{variant} has no attention implementation '{attention}'")
        assert "Known for it: naive" in record.reason


# --- one measurement in a fresh process, which the tests below give something else to do


def test_a_fresh_process_measures_the_same_and_its_prints_stay_out_of_ours(request_for, monkeypatch, capfd):
    monkeypatch.setattr(execute, "_child", children.loud)
    asked = request_for("esc-fp-x4")
    record = execute.measure_apart(asked)
    told = capfd.readouterr()
    assert told.out == ""
    assert "a model prints" in told.err
    assert "and writes" in told.err
    here = execute.measure(asked)
    assert record.took > 0
    assert replace(record, recorded_at="", took=0) == replace(here, recorded_at="", took=0)


@pytest.mark.parametrize(
    ("child", "kills", "status", "reason"),
    [
        (children.killed, (7, 8), "out-of-memory", "its process was killed by the kernel, because memory ran out"),
        (children.killed, (7, 7), "failed", "its process was killed by somebody; the kernel killed none for memory"),
        (
            children.killed,
            (None, None),
            "out-of-memory",
            "its process was killed, as the kernel does when memory runs out",
        ),
        (children.terminated, (7, 8), "failed", "its process died of signal 15"),
        (children.leaving, (7, 7), "failed", "its process ended with exit code 3 and no result"),
    ],
)
def test_a_process_that_dies_becomes_a_record(request_for, monkeypatch, filled, child, kills, status, reason):
    monkeypatch.setattr(execute, "_child", child)
    counts = iter(kills)
    monkeypatch.setattr(execute.fresh, "_out_of_memory_kills", lambda: next(counts))
    record = execute.measure_apart(request_for())
    assert (record.status, record.reason, record.values) == (status, reason, ())
    assert store.read(filled(record)).records == (record,)


def test_a_process_that_takes_too_long_is_ended_and_becomes_a_record(request_for, monkeypatch):
    monkeypatch.setattr(execute, "_child", children.hanging)
    record = execute.apart(0.1)(request_for())
    assert (record.status, record.reason) == ("timeout", "no result after 0.1 s")
    assert not execute.fresh.multiprocessing.active_children()


def test_a_child_does_not_hear_of_ctrl_c_and_we_still_do(request_for, monkeypatch):
    monkeypatch.setattr(execute, "_child", children.deaf)
    assert execute.measure_apart(request_for()).status == "ok"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


# --- a network at work


def small(request_for, probe="memory", variant="rfdn-x4", hr=(64, 64), **execution):
    """A request for a probe that runs the network, on an input that costs nothing."""
    esc = protocols.find("esc")
    protocol = replace(
        esc, input=replace(esc.input, hr=hr), execution=replace(esc.execution, **{"device": "cpu"} | execution)
    )
    return replace(request_for(variant, probe), protocol=protocol)


def test_a_probe_that_wants_a_process_of_its_own_always_gets_one(request_for, monkeypatch):
    asked = []
    monkeypatch.setattr(execute, "measure_apart", lambda *given: asked.append(given))
    execute.measure(small(request_for))
    assert asked == [(small(request_for), execute.PATIENCE)]
    assert execute.measure(request_for()).status == "ok"
    assert len(asked) == 1


def test_a_network_at_work_has_seeded_weights_and_input_and_the_machine_is_watched(request_for, monkeypatch):
    seen = []

    def measure(model, x, protocol):
        seen.append((model(x), x, torch.get_num_threads()))
        return Reading((1,), {})

    asked = small(request_for, threads=1)
    probe = replace(faulty(monkeypatch, request_for, measure).probe, real=True)
    records = [execute.measure(replace(asked, probe=probe)) for _ in range(2)]
    (y, x, threads), (again, *_) = seen
    assert [r.reason for r in records] == [None, None]
    assert (x.shape, x.dtype, x.device.type, threads) == ((1, 3, 16, 16), torch.float32, "cpu", 1)
    assert x.min() >= 0
    assert x.max() <= 1
    assert torch.equal(y, again)
    details = records[0].details
    assert details["threads"] == 1
    assert details["state"].keys() >= {"contended", "throttled", "why", "before", "after"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_unsupported(request_for):
    record = execute.measure(small(request_for, device="cuda"))
    assert record.status == "unsupported"
    assert record.reason.startswith("A measurement on a CUDA device was asked for, and there is none here: ")


def test_a_network_that_prints_no_numbers_has_failed(request_for, monkeypatch, filled):
    monkeypatch.setattr(execute, "_child", children.spoilt)
    record = execute.measure(small(request_for))
    assert record.status == "failed"
    assert re.fullmatch(r"ValueError: the network put out \d+ numbers of 12288 that are NaN or infinite", record.reason)
    assert "in measure" in record.details["traceback"]
    assert store.read(filled(record)).records == (record,)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and macOS does not keep to the limit")
def test_a_network_for_which_memory_does_not_suffice_is_out_of_memory(request_for, monkeypatch):
    monkeypatch.setattr(execute, "_child", children.cramped)
    record = execute.measure(small(request_for, hr=(4096, 4096)))
    assert record.status == "out-of-memory"
    assert "can't allocate memory" in record.reason
    assert execute.measure(small(request_for)).reason is None  # which has room enough
