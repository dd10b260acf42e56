"""The lower bound of the time: nets small enough to reckon by hand, on a device with round figures."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tiny import Does, walk, zeros
from torch import nn
from torch.nn.attention import flex_attention as flex_module

from workbench import building, devices, execute, papers, probes, ratios
from workbench.devices import DEVICES, Device
from workbench.probes import arithmetic, roofline
from workbench.probes.arithmetic import operations, products
from workbench.protocols import PROTOCOLS, find
from workbench.published import Row
from workbench.report import bounds
from workbench.spec import Bound, Build, UserError
from workbench.store import Contents
from workbench.tracing import trace

TOY = Device("toy", "a toy", 100.0, 1000.0, 4000.0, 2000.0, 10.0, 2**30, "made up", launch=0.5)
"""100 operations a second and 10 bytes, so that what is more than ten operations per byte is bound by arithmetic."""


def last(network, *shape, **keywords):
    """What the last call takes."""
    bound = keywords.pop("bound", Bound())
    return roofline.costs(walk(network, *shape, **keywords), TOY, bound)[-1]


# --- arithmetic

PRODUCTS = {
    "conv": (nn.Conv2d(4, 8, 3, padding=1), (2, 4, 9, 9), 2 * 8 * 81 * 4 * 9),
    "conv with groups and stride": (nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), (1, 4, 9, 9), 8 * 25 * 2 * 9),
    "depthwise conv": (nn.Conv2d(4, 4, 5, padding=2, groups=4), (1, 4, 9, 9), 4 * 81 * 25),
    "conv of one image": (nn.Conv2d(4, 8, 3), (4, 9, 9), 8 * 49 * 4 * 9),
    "transposed conv": (nn.ConvTranspose2d(4, 8, 3, stride=2), (2, 4, 5, 6), 2 * 4 * 30 * 8 * 9),
    "linear": (nn.Linear(4, 5), (2, 3, 4), 2 * 3 * 4 * 5),
    "matmul": (lambda x: x @ zeros(x, 2, 4, 5), (2, 3, 4), 2 * 3 * 4 * 5),
    "matmul that repeats the first": (lambda x: x @ zeros(x, 7, 4, 5), (3, 4), 7 * 3 * 4 * 5),
    "matmul by a vector": (lambda x: x @ zeros(x, 4), (3, 4), 3 * 4),
    "bmm": (lambda x: torch.bmm(x, zeros(x, 2, 4, 5)), (2, 3, 4), 2 * 3 * 4 * 5),
    "baddbmm": (lambda x: torch.baddbmm(zeros(x, 2, 3, 5), x, zeros(x, 2, 4, 5)), (2, 3, 4), 2 * 3 * 4 * 5),
    "addmm": (lambda x: torch.addmm(zeros(x, 5), x, zeros(x, 4, 5)), (3, 4), 3 * 4 * 5),
    "einsum": (lambda x: torch.einsum("bik, bjk -> bij", x, zeros(x, 2, 5, 4)), (2, 3, 4), 2 * 3 * 5 * 4),
    "einsum of digits beyond four": (
        lambda x: torch.einsum("ik,kj->ij", x, zeros(x, 101, 103)), (107, 101), 107 * 101 * 103
    ),
    "sdpa": (lambda x: F.scaled_dot_product_attention(x, zeros(x, 1, 2, 9, 4), zeros(x, 1, 2, 9, 5)), (1, 2, 7, 4),
             2 * 7 * 9 * (4 + 5)),
    "flex": (lambda x: flex_module.flex_attention(x, x, x), (1, 2, 16, 4), 2 * 16 * 16 * (4 + 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_its_multiply_adds_and_twice_as_many_operations(name):
    network, shape, exact = PRODUCTS[name]
    call = walk(network, *shape).calls[-1]
    assert (products(call), operations(call)) == (exact, 2 * exact)


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (lambda x: x + 1, 12),
        (lambda x: x.relu_(), 12),
        (lambda x: x.softmax(-1), 12),
        (lambda x: x[:, None] + zeros(x, 3, 5, 4), 60),
        (lambda x: x.sum(), 12),
        (lambda x: x.repeat(2, 2), 0),
        (lambda x: torch.cat([x, x]), 0),
        (lambda x: x.view(4, 3), 0),
        (lambda x: torch.einsum("...j->...", x), 3),
    ],
    ids=["add", "in place", "softmax", "broadcast", "sum", "repeat", "cat", "view", "einsum without sides"],
)
def test_other_work_is_one_operation_for_each_number_and_copies_are_none(function, count):
    call = walk(function, 3, 4).calls[-1]
    assert (products(call), operations(call)) == (0, count)


def test_a_selective_scan_costs_what_the_mambair_repository_says():
    from workbench.models.parts.scan import selective_scan

    def run(u):
        return selective_scan(
            u, u, zeros(u, 6, 4), zeros(u, 2, 1, 4, 10), zeros(u, 2, 1, 4, 10), zeros(u, 6), zeros(u, 6)
        )

    scans = [c for c in walk(run, 2, 6, 10).calls if c.name == "selective_scan"]
    assert [operations(c) for c in scans] == [9 * 2 * 6 * 10 * 4 + 2 * 6 * 10]


@pytest.mark.parametrize("family", ["esc-x4", "swinir-light-x4", "mambairv2-light-x4", "asid-d8-x4"])
def test_what_costs_arithmetic_in_the_catalogue_is_known_by_name(family):
    """An operator nobody thought of would be reckoned as one operation for each number: it has to be looked at."""
    known = set(
        "add add_ mul mul_ sub div gelu relu silu sigmoid leaky_relu softmax log_softmax layer_norm mean square sqrt "
        "exp neg eq ne ge rsub minimum remainder masked_fill argmax argsort clamp_min linalg_vector_norm max_pool2d "
        "adaptive_avg_pool2d upsample_bilinear2d selective_scan".split()
    )
    network = building.kept(family, Build())
    calls = trace(network, torch.empty(1, 3, 64, 64, device="meta")).calls
    named = {c.name for c in calls if c.written and not products(c)}
    assert named - arithmetic.COPIES - known == set()


# --- what a call takes


def test_a_call_takes_the_longer_of_its_arithmetic_and_its_bytes_and_a_launch():
    added = last(lambda x: x + 1, 256)
    assert (added.operations, added.bytes, added.multiply_adds) == (256, 2048, 0)
    assert (added.compute, added.memory, added.launch) == (2.56, 204.8, 0.5)
    assert (added.work, added.seconds, added.compute_bound) == (204.8, 205.3, False)
    product = last(lambda x: x @ x, 64, 64)
    assert (product.operations, product.bytes) == (2 * 64**3, 2 * 64 * 64 * 4)  # one operand, given twice
    assert (product.compute, product.memory) == (5242.88, 3276.8)
    assert (product.seconds, product.compute_bound) == (5243.38, True)


def test_views_and_empty_memory_are_free_and_launch_nothing():
    seen = walk(lambda x: x.new_empty(4).view(2, 2).t() + x.view(2, 2), 4)
    assert [c.call.name for c in roofline.costs(seen, TOY, Bound())] == ["add"]


def test_work_in_place_reads_and_writes():
    assert last(lambda x: x.relu_(), 256).bytes == 2048


@pytest.mark.parametrize(
    ("network", "shape", "dtype", "bound", "rate"),
    [
        (nn.Conv2d(2, 2, 1), (1, 2, 4, 4), "float32", Bound(), TOY.tf32),
        (nn.Conv2d(2, 2, 1), (1, 2, 4, 4), "float32", Bound(tf32_convolutions=False), TOY.float32),
        (nn.Conv2d(2, 2, 1), (1, 2, 4, 4), "float16", Bound(tf32_convolutions=False), TOY.float16),
        (nn.Conv2d(2, 2, 3, groups=2), (1, 2, 4, 4), "float32", Bound(), TOY.float32),
        (nn.Conv2d(1, 1, 3), (1, 1, 4, 4), "float32", Bound(), TOY.float32 * 10),
        (nn.Linear(4, 4), (2, 4), "float32", Bound(), TOY.float32),
        (nn.Linear(4, 4), (2, 4), "float32", Bound(tf32_products=True), TOY.tf32),
        (nn.Linear(4, 4), (2, 4), "bfloat16", Bound(), TOY.bfloat16),
        (nn.ReLU(), (2, 4), "float16", Bound(tf32_products=True), TOY.float32),
    ],
    ids=["conv", "conv without TF32", "half", "depthwise", "one channel", "linear", "TF32", "bfloat16", "no product"],
)
def test_tensor_cores_take_products_in_half_and_where_torch_lets_them_in_float32(network, shape, dtype, bound, rate):
    call = walk(network, *shape, dtype=getattr(torch, dtype)).calls[-1]
    assert roofline.rate(call, products(call), TOY, bound) == rate


# --- the reading


def masks(x):
    """What SwinIR's code does in each block: a mask made on the host and copied over."""
    mask = torch.zeros(256).view(16, 16).add(1).to(x.device)
    return x + mask


def test_host_work_is_told_and_is_in_no_sum():
    seen = walk(masks, 16, 16)
    assert [c.call.name for c in roofline.costs(seen, TOY, Bound())] == ["add"]
    aside = roofline.host(seen)
    # zeros writes 1 KiB, add and to read and write one each; the last arrives
    assert (aside.calls, aside.bytes, aside.copied) == (3, 5 * 1024, 1024)
    assert aside.seconds == 5 * 1024 / devices.HOST_BANDWIDTH
    here = roofline.costs(seen, replace(TOY, name="cpu"), Bound())
    assert len(here) > 1  # on the host itself it is work like any other


def test_a_reading_by_hand(monkeypatch):
    monkeypatch.setitem(DEVICES, "toy", TOY)
    network = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.ReLU()).to("meta")
    x = torch.empty(1, 4, 8, 8, device="meta")
    protocol = replace(PROTOCOLS["esc"], bound=Bound("toy", tf32_convolutions=False))
    reading = roofline.measure(network, x, protocol)
    told = reading.details
    conv, relu = (1024 + 64 + 1024) / 10 + 0.5, 2048 / 10 + 0.5
    assert reading.values == (pytest.approx(conv + relu),)
    assert (told["multiply_adds"], told["operations"], told["bytes"], told["kernels"]) == (1024, 2048 + 256, 4160, 2)
    assert told["intensity"] == pytest.approx(2304 / 4160)
    assert told["launch_seconds"] == 1.0
    assert told["memory_bound_seconds"] == pytest.approx(conv + relu - 1)
    assert told["compute_bound_seconds"] == 0
    shares = told["memory_bound_share"] + told["compute_bound_share"] + told["launch_share"]
    assert shares == pytest.approx(1)
    assert told["by_operator"] == pytest.approx({"conv2d": conv, "relu": relu})
    assert list(told["by_module"]) == ["0", "1"]
    assert not told["host_bound"]
    assert "nothing was measured" in told["estimate"]


def test_a_network_is_host_bound_when_the_host_takes_longer_than_the_device(monkeypatch):
    network, x = Does(masks), torch.empty(16, 16, device="meta")
    for bandwidth, expected in ((1.0, True), (1e12, False)):
        monkeypatch.setattr(devices, "HOST_BANDWIDTH", bandwidth)
        assert roofline.measure(network, x, PROTOCOLS["esc"]).details["host_bound"] is expected


def test_no_record_is_made_for_a_machine_that_is_measured_anew_each_time(request_for):
    asked = request_for("esc-fp-x4", "roofline")
    asked = replace(asked, protocol=replace(asked.protocol, bound=Bound("cpu")))
    record = execute.measure(asked)
    assert (record.status, record.values) == ("unsupported", ())
    assert record.reason.startswith("No record is made for the device 'cpu'")


@pytest.mark.parametrize("variant", ["swinir-light-x4", "srformer-light-x4"])
def test_masks_made_in_each_block_make_a_network_host_bound(request_for, variant):
    assert execute.measure(request_for(variant, "roofline")).details["host_bound"]


def test_a_record_of_the_catalogue(request_for):
    """Printed for ESC x4 are 149.2 G with its layer norms, which are no products."""
    slow, fast = (execute.measure(request_for("esc-x4", "roofline", p)) for p in ("esc", "esc+h100"))
    assert (slow.unit, slow.status, fast.status) == ("seconds", "ok", "ok")
    assert 148e9 < slow.details["multiply_adds"] == fast.details["multiply_adds"] < 149.2e9
    assert fast.values < slow.values
    assert slow.conditions != fast.conditions
    assert not slow.details["host_bound"]
    assert slow.details["compute_bound_share"] < slow.details["memory_bound_share"]


def test_the_device_is_no_condition_of_what_does_not_read_it():
    for probe in ("macs", "params"):
        reads = probes.find(probe).reads
        assert find("esc+h100").read(reads, 4) == find("esc").read(reads, 4)


def test_modules_are_cut_at_a_depth():
    assert [roofline.cut("a.b.c", depth) for depth in (1, 2, 3, 4)] == ["a", "a.b", "a.b.c", "a.b.c"]
    assert roofline.cut("", 2) == "(network)"


# --- beside printed latencies


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),  # 1 - 6 * 4 / (5 * 24)
        ([1, 2, 2, 3], [1, 2, 3, 4], 4.5 / (4.5 * 5) ** 0.5),  # ranks 1, 2.5, 2.5, 4
        ([1, 1, 1], [1, 2, 3], None),
        ([1], [1], None),
        ([], [], None),
    ],
)
def test_rank_correlation_by_hand(a, b, expected):
    assert ratios.rank_correlation(a, b) == (None if expected is None else pytest.approx(expected))


def test_values_without_a_partner_cannot_be_ranked():
    with pytest.raises(ValueError, match="2 values cannot be ranked against 1"):
        ratios.rank_correlation([1, 2], [1])


TABLE = papers.TABLES["esc-table2"]


@pytest.fixture(scope="session")
def known(make_record):
    """Made records for four rows at x4: three in the printed order, and one that is host-bound."""

    def made(variant, value, protocol="esc", host=False):
        told = {"memory_bound_share": 0.75, "launch_share": 0.125, "host_bound": host}
        return make_record(variant, "roofline", protocol, values=(value,), details=told)

    records = (
        made("esc-x4", 0.0073, "esc+flex"),
        made("esc-x4", 99.0),  # naive attention: not what was timed
        made("elan-light-x4", 0.006),
        made("hit-srf-x4", 0.0821),
        made("swinir-light-x4", 0.001, host=True),
        make_record("rcan-x4", "roofline", status="failed", reason="broken"),
        made("rdn-x4", 5.0, "esc+h100"),
    )
    return Contents(records, ()).newest()


def test_rows_are_printed_latencies_with_a_bound_for_the_device(known):
    rows = bounds.read(TABLE, known)
    assert [(r.method, r.bound, r.host_bound) for r in rows] == [
        ("SwinIR-lt", 0.001, True), ("ELAN-lt", 0.006, False), ("HiT-SRF", 0.0821, False), ("ESC", 0.0073, False),
    ]  # fmt: skip
    assert rows[3].ratio == pytest.approx(21.9 / 7.3)
    assert [r.method for r in bounds.read(TABLE, known, "h100")] == ["RDN"]
    assert bounds.read(TABLE, known, "h200") == []
    with pytest.raises(UserError, match="No device 'b200'"):
        bounds.read(TABLE, known, "b200")


def test_correlations_are_of_all_rows_and_of_those_that_are_not_host_bound(known):
    # printed 222.9, 18.0, 82.1, 21.9: ranks 4, 1, 3, 2; bounds have 1, 2, 4, 3: 1 - 6 * 12 / 60
    assert bounds.correlations(bounds.read(TABLE, known)) == {4: (pytest.approx(-0.2), pytest.approx(1))}


def test_printed_flops_can_stand_in_the_bounds_place(known):
    rows = bounds.read(TABLE, known)
    assert [r.flops for r in rows] == [63.6e9, 54.1e9, 58.0e9, 149.2e9]
    # without SwinIR latencies rank 1, 3, 2 and FLOPs 1, 2, 3
    assert bounds.correlations(rows, lambda r: r.flops)[4][1] == pytest.approx(0.5)
    assert bounds.correlations(rows, lambda r: None) == {}


def test_the_command_prints_them(workbench, known, filled):
    folder = filled(*known.values())
    words = ("table", "esc-table2", "--records", folder, "--bounds")
    assert workbench(*words, "a100").out == bounds.markdown(TABLE, known)
    assert workbench(*words, "a100", "--format", "html").out == bounds.html(TABLE, known)
    for wrong, told in (
        (("b200",), "No device 'b200'."),
        (("cpu",), "No record is made for the device 'cpu'"),
        (("a100", "--format", "tex"), "No format of bounds 'tex'. Known: md, html."),
    ):
        ran = workbench(*words, *wrong)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert told in ran.err


def test_the_protocol_of_a_row_is_what_was_timed():
    rows = {r.variant: r for r in TABLE.rows}
    assert bounds.protocol(TABLE, rows["esc-light-x2"], "h100") == "esc+flex+h100"
    assert bounds.protocol(TABLE, rows["hit-srf-x2"], "a100") == "esc+a100"
    assert bounds.protocol(TABLE, Row("Other", 2, None, {}), "a100") == "esc+a100"


def test_they_are_rendered_with_what_they_are(known):
    text = bounds.markdown(TABLE, known)
    assert "| ESC | x4 | 21.9 | 7.3 | 3.0 | 75% | 12% |  |" in text
    assert "| SwinIR-lt | x4 | 222.9 | 1.0 | 222.9 | 75% | 12% | host-bound |" in text
    assert "x4: rank correlation of printed latency and bound −0.20 over 4 rows, 1.00 over the 3 that are not" in text
    assert "host-bound, where that of printed FLOPs is 0.50\n" in text
    assert "an estimate and no measurement" in text
    page = bounds.html(TABLE, known)
    assert page.count("<tr") == 1 + 4
    assert "<td>SwinIR-lt</td><td>x4</td>" in page
    assert "−0.20" in page


def test_without_records_they_say_what_makes_them():
    for rendered in (bounds.markdown(TABLE, {}), bounds.html(TABLE, {}).replace("&#x27;", "'")):
        assert "workbench measure '*' --probe roofline --protocol esc+a100" in rendered


def test_the_picture_marks_what_is_host_bound_and_names_each_method(known):
    (panel,) = bounds.picture(TABLE, known).axes
    faces = [line.get_markerfacecolor() for line in panel.lines if line.get_marker() != "None"]
    assert (len(faces), faces.count("white")) == (4, 1)
    assert {t.get_text() for t in panel.texts} >= {"ESC", "ELAN-lt", "HiT-SRF", "SwinIR-lt", "1×"}
    assert panel.get_title(loc="left") == "×4: rank correlation −0.20, 1.00 without host-bound"
    assert bounds.picture(TABLE, {}).axes  # empty, and no error


def test_the_axes_of_the_picture_are_written_in_one_style(known):
    from matplotlib.ticker import NullFormatter

    (panel,) = bounds.picture(TABLE, known).axes
    for axis in (panel.xaxis, panel.yaxis):
        assert isinstance(axis.get_minor_formatter(), NullFormatter)
        assert [axis.get_major_formatter()(value, 0) for value in (0.5, 20, 1000)] == ["0.5", "20", "1,000"]
