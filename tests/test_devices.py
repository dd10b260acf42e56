"""Devices: what their data sheets say agrees with itself, and what a machine is measured to do."""

import json
from dataclasses import FrozenInstanceError

import pytest
import torch

from workbench import devices, protocols
from workbench.devices import DEVICES
from workbench.spec import UserError


@pytest.mark.parametrize("device", DEVICES.values(), ids=list(DEVICES))
def test_a_profile_agrees_with_itself(device):
    assert device.float32 <= device.tf32 <= device.float16 == device.bfloat16
    assert device.tf32 * 1.9 < device.float16 < device.tf32 * 2.1  # a half is half as wide
    assert 1e11 < device.bandwidth < 1e13 < device.float32 < 1e14  # bytes and operations, not GB and TFLOP
    assert int(device.title.split()[-2]) * 2**30 == device.memory
    assert "NVIDIA" in device.source
    with pytest.raises(FrozenInstanceError):
        device.launch = 0


def test_devices_stand_under_their_names_and_a_protocol_can_name_each():
    assert list(DEVICES) == [d.name for d in DEVICES.values()]
    for name in DEVICES:
        assert devices.find(name) is devices.profile(name) is DEVICES[name]
        assert protocols.find(f"esc+{name}").bound.device == name
    assert protocols.find("esc").bound.device == "a100"


def test_what_tf32_may_do_is_torchs_default_and_a_modifier_away():
    bound = protocols.find("esc").bound
    assert bound.tf32_convolutions == torch.backends.cudnn.allow_tf32
    assert bound.tf32_products == torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(UserError, match=r"\+a100 and \+h100 both set 'device'; keep one of them\.$"):
        protocols.find("esc+a100+h100")


def test_an_unknown_device_has_its_sentence():
    with pytest.raises(UserError) as refused:
        devices.find("RTX_4080")
    assert str(refused.value) == (
        "No device 'RTX_4080'. Did you mean 'rtx-4090' or 'rtx-3090' or 'rtx-a6000'? "
        "Known: a100, h100, h200, rtx-a6000, rtx-4090, rtx-3090, cpu."
    )


def test_this_machine_is_measured_when_asked_and_makes_no_record():
    found = devices.find("cpu")
    assert found.name == "cpu"
    assert found.title.endswith(f", {torch.get_num_threads()} thread" + "s" * (torch.get_num_threads() > 1))
    assert min(found.float32, found.float16, found.bfloat16) > 0
    assert found.bandwidth > 0
    assert found.launch > 0
    assert "cpu" not in DEVICES
    with pytest.raises(UserError, match=r"^No record is made for the device 'cpu': .* one of: a100, .*, rtx-3090\.$"):
        devices.profile("cpu")


def test_the_best_of_some_runs_is_the_shortest(monkeypatch):
    ticks = iter([0, 5, 10, 12, 20, 23])
    monkeypatch.setattr(devices.time, "perf_counter", lambda: next(ticks))
    done = []
    assert devices._best(lambda: done.append(1), 3) == 2
    assert len(done) == 3


def test_the_listing_shows_them_and_says_that_one_is_measured(workbench):
    read = json.loads(workbench("devices", "--json").out)
    assert [d["name"] for d in read] == [*DEVICES, "cpu"]
    assert read[0]["bandwidth"] == DEVICES["a100"].bandwidth
    assert {read[-1][key] for key in ("float32", "bandwidth", "memory")} == {None}
    lines = workbench("devices").out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *DEVICES, "cpu"]
    assert lines[-1].endswith("measured when asked for")
