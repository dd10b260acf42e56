"""A network taken apart: sums by module and operator, their text, JSON and picture, and what cannot be asked."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from workbench import anatomy, devices
from workbench.devices import DEVICES, Device
from workbench.protocols import PROTOCOLS
from workbench.report import labels
from workbench.report import roofline as report
from workbench.spec import UserError
from workbench.tracing import trace

TOY = Device("toy", "a toy", 100.0, 1000.0, 4000.0, 2000.0, 10.0, 2**30, "made up", launch=0.5)


def net():
    inner = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.ReLU())
    return nn.Sequential(inner, nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU()))).to("meta")


def apart(network=None, depth=2, device=TOY):
    x = torch.empty(1, 4, 8, 8, device="meta")
    return anatomy.read(trace(network or net(), x), PROTOCOLS["esc"], device, "tiny", x.shape, depth)


@pytest.fixture(scope="module")
def tiny():
    return apart()


CONV, RELU = (1024 + 64 + 1024) / 10 + 0.5, 2048 / 10 + 0.5


def test_parts_by_hand(tiny):
    assert [(p.name, p.calls, p.multiply_adds, p.bytes) for p in tiny.operators] == [
        ("relu", 3, 0, 6144),
        ("conv2d", 1, 1024, 2112),
    ]
    assert [p.seconds for p in tiny.operators] == pytest.approx([3 * RELU, CONV])
    assert {p.name: p.calls for p in tiny.modules} == {"0.0": 1, "0.1": 1, "1.0": 1, "1.1": 1}
    assert tiny.total.seconds == pytest.approx(CONV + 3 * RELU)
    assert tiny.total.intensity == pytest.approx((2048 + 3 * 256) / 8256)
    for parts in (tiny.modules, tiny.operators):
        for field in ("calls", "multiply_adds", "operations", "bytes"):
            assert sum(getattr(p, field) for p in parts) == getattr(tiny.total, field)
    assert (tiny.roof, tiny.shape) == (TOY.tf32, (1, 4, 8, 8))


def test_memory_alive_is_largest_where_it_is(tiny):
    # the input, the weight, what the first part made, what the second has made so far, and the result
    assert (tiny.peak, tiny.peak_module, tiny.peak_operator) == (4 * 1024 + 512, "1.1.0", "relu")


def test_a_depth_cuts_paths(tiny):
    assert [p.name for p in apart(depth=1).modules] == ["0", "1"]
    assert {p.name for p in apart(depth=3).modules} == {"0.0", "0.1", "1.0", "1.1.0"}
    assert tiny.parts("module") is tiny.modules
    assert tiny.parts("operator") is tiny.operators


def test_what_arithmetic_bounds_is_told():
    conv = apart(device=replace(TOY, bandwidth=1e9)).operators[0]
    assert (conv.name, conv.compute_bound) == ("relu", 1.0)
    assert all(p.compute_bound == 0 for p in apart().operators)


def test_the_device_is_the_protocols_unless_another_is_named():
    assert anatomy.dissect("esc-fp-x4").device is DEVICES["a100"]
    assert anatomy.dissect("esc-fp-x4", "esc", "rtx-3090").device is DEVICES["rtx-3090"]
    assert anatomy.dissect("esc-fp-x4", "esc+h100").device is DEVICES["h100"]
    refused = r"^--device rtx-3090 and protocol esc\+h100 name two devices; keep one of them\.$"
    with pytest.raises(UserError, match=refused):
        anatomy.dissect("esc-fp-x4", "esc+h100", "rtx-3090")


def test_parts_are_ordered_by_what_is_asked_for(tiny):
    by_work = tiny.ordered("macs")
    assert [p.name for p in tiny.operators] == [p.name for p in tiny.ordered("bytes").operators] == ["relu", "conv2d"]
    assert [p.name for p in by_work.operators] == ["conv2d", "relu"]
    assert by_work.modules[0].name == "0.0"
    assert by_work.ordered("time") == tiny
    assert "and 1 more, 0.0% of the multiply-adds" in report.text(by_work, "operator", 1)
    assert "and 1 more, 25.6% of the bytes" in report.text(tiny.ordered("bytes"), "operator", 1)
    (shares, _) = report.draw(by_work, "module", 3).axes
    assert shares.get_title(loc="left") == "Shares of the 3 modules with the most multiply-adds"
    assert report.as_object(by_work, "operator", 1)["operators"][0]["name"] == "conv2d"


# --- text and JSON


def test_the_text_has_totals_and_aligned_tables(tiny):
    lines = report.text(tiny, None, 3).splitlines()
    assert lines[:4] == [
        "tiny under esc on a toy, input 1 x 4 x 8 x 8",
        "4 calls that work, 1.02 K multiply-adds, 8.06 KiB moved, 0.34 operations per byte",
        "at least 827.60 s, 0% of it launches, 100% in operators that memory bounds; an estimate from peak rates, "
        "nothing was measured",
        "most memory alive: 4.50 KiB, after relu in 1.1.0",
    ]
    assert [line.split()[0] for line in lines if line.startswith(("module", "operator"))] == ["module", "operator"]
    (relu,) = [line for line in lines if line.startswith("relu")]
    assert relu.split() == "relu 3 0 0.0% 6.00 KiB 74.4% 615.90 s 74.4% memory".split()
    assert f"and 1 more, {RELU / (CONV + 3 * RELU):.1%} of the time" in lines
    head = lines.index("") + 1
    assert len({line.index("memory") for line in lines[head + 1 : head + 4]}) == 1


def test_rates_that_were_measured_give_no_bound():
    ours = apart(device=replace(TOY, name="cpu"))
    lines = report.text(ours, None, 3).splitlines()
    assert lines[2] == (
        "about 827.60 s, 0% of it calls, 100% in operators that memory bounds; an estimate and no bound, from rates "
        "that this CPU had just now beside whatever else ran; the network itself was not timed"
    )
    assert [line for line in lines if "time ~" in line]
    assert not [line for line in lines if "at least" in line or ">=" in line]
    drawn = report.draw(ours, None, 3)
    told = " ".join([drawn.get_suptitle(), *(a.get_ylabel() for a in drawn.axes)])
    assert "about 827.60 s (an estimate from measured rates)" in told
    assert "at " not in told


def test_a_host_bound_network_is_told_so(tiny):
    assert "host" not in report.text(tiny, None, 3)
    busy = replace(tiny, host_calls=7, host_bytes=2**30, host_seconds=9000.0)
    assert busy.host_bound
    assert "on the host: 7 calls, 1.00 GiB moved, about 9000.00 s, longer than the device needs: host-bound" in (
        report.text(busy, None, 3)
    )


def test_json_is_in_base_units_and_shows_what_was_asked(tiny):
    read = json.loads(json.dumps(report.as_object(tiny, None, 1)))
    assert read["total"]["bytes"] == 8256
    assert [p["name"] for p in read["operators"]] == ["relu"]
    assert len(read["modules"]) == 1
    assert (read["estimate"], read["host_bound"]) == (True, False)
    assert read["device"]["name"] == "toy"
    assert "modules" not in report.as_object(tiny, "operator", 1)


def test_a_network_that_does_nothing_is_shown_too():
    idle = apart(nn.Identity())
    assert (idle.total.calls, idle.total.seconds, idle.modules, idle.peak_module) == (0, 0, (), "(input)")
    assert "0 calls that work" in report.text(idle, None, 3)
    assert len(report.draw(idle, None, 3).axes) == 2


# --- the picture


def test_the_picture_shows_three_shares_of_each_part_and_a_dot_for_each_operator(tiny):
    shares, roof = report.draw(tiny, "operator", 10).axes
    widths = [round(bar.get_width(), 1) for bar in shares.patches]
    assert widths == [0.0, 100.0, 74.4, 25.6, 74.4, 25.6]
    assert len(roof.collections) == 2
    assert {"relu", "conv2d", "1e-09 TFLOP/s, TF32"} <= {t.get_text() for t in roof.texts}


def test_the_title_of_a_picture_stands_above_those_of_its_panels(tiny):
    canvas = report.draw(tiny, "operator", 10)
    canvas.draw_without_rendering()
    (title,) = canvas.texts
    assert title.get_window_extent().y0 >= max(panel.get_tightbbox().y1 for panel in canvas.axes)


def test_names_in_a_picture_touch_neither_each_other_nor_another_s_dot():
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(4, 4))
    panel = canvas.subplots()
    panel.set(xlim=(0, 10), ylim=(0, 10))
    points = [(5, 5, "first", 4.0), (5.2, 5, "second", 4.0), (5, 5.2, "third", 4.0), (5.1, 5.1, "fourth", 4.0)]
    labels.place(panel, points, [[(0, 0), (10, 10)]])
    boxes = [t.get_window_extent() for t in panel.texts]
    assert [t.get_text() for t in panel.texts][:3] == ["first", "second", "third"]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    dots = panel.transData.transform([p[:2] for p in points])
    assert not any(box.contains(*dot) for box in boxes for dot in dots)


def test_a_name_that_finds_no_side_is_left_out():
    from matplotlib.figure import Figure

    panel = Figure(figsize=(1, 1)).subplots()
    labels.place(panel, [(0.5, 0.5, "much longer than the panel is wide", 3.0)])
    assert not list(panel.texts)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_anatomy_gives_the_same_bytes(tiny, tmp_path, suffix):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (first, second):
        report.write(tiny, None, 5, path)
    assert first.read_bytes() == second.read_bytes() != b""


# --- the command


def test_the_command_prints_draws_and_answers_in_json(workbench, tmp_path):
    picture = tmp_path / "esc.svg"
    words = ("trace", "esc-fp-x4", "--device", "rtx-4090", "--depth", "1", "--top", "2", "--picture", picture)
    ran = workbench(*words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("esc-fp-x4 under esc on NVIDIA GeForce RTX 4090 24 GB, input 1 x 3 x 180 x 320\n")
    assert "<svg" in picture.read_text()
    read = json.loads(workbench("trace", "esc-fp-x4", "--by", "module", "--json", "--depth", "1").out)
    assert "operators" not in read
    assert read["modules"][0]["name"] == "blocks"


def test_this_machine_can_be_asked_about(workbench, monkeypatch):
    monkeypatch.setattr(devices, "here", lambda: replace(TOY, name="cpu"))
    ran = workbench("trace", "swinir-light-x4", "--device", "cpu", "--by", "operator", "--json")
    assert json.loads(ran.out)["host_calls"] == 0  # what other devices leave to the host is its own work
    assert ran.code == 0


MISTAKES = {
    "variant": (("esc_x4",), "No variant 'esc_x4'. Did you mean 'esc-x4'"),
    "glob": (("esc*",), "No variant 'esc*'."),
    "device": (("esc-x4", "--device", "h10"), "No device 'h10'. Did you mean 'h100' or 'h200' or 'a100'?"),
    "protocol": (("esc-x4", "--protocol", "ecs"), "No protocol 'ecs'. Did you mean 'esc'"),
    "attention": (("rcan-x4", "--protocol", "esc+flex"), "rcan-x4 has no attention implementation 'flex'"),
    "view": (
        ("esc-x4", "--by", "modul"),
        "No view of a trace 'modul'. Did you mean 'module'? Known: module, operator.",
    ),
    "order": (("esc-x4", "--sort", "mac"), "No order of a trace 'mac'. Did you mean 'macs'? Known: time, macs, bytes."),
    "depth": (("esc-x4", "--depth", "0"), "--depth was given 0; modules are told apart by at least 1 name"),
    "top": (("esc-x4", "--top", "0"), "--top was given 0; at least 1 line can be shown."),
    "suffix": (
        ("esc-x4", "--picture", "a.jpg"),
        "--picture was given a.jpg; give a name that ends in .pdf or .png or .svg.",
    ),
    "folder": (("esc-x4", "--picture", "/dev/null/a.png"), "Cannot write /dev/null/a.png: Not a directory. Name a"),
    "nothing": ((), "Missing argument 'NAME'. See: workbench trace --help"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_one_sentence_and_ends_with_2(workbench, mistake):
    words, told = MISTAKES[mistake]
    ran = workbench("trace", *words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert told in ran.err


def test_a_picture_that_cannot_be_written_has_its_sentence(workbench, tmp_path):
    folder = tmp_path / "taken.png"
    folder.mkdir()
    ran = workbench("trace", "esc-fp-x4", "--picture", folder)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (f"workbench: Cannot write {folder}: Is a directory. Name a writable folder with --picture.\n")
