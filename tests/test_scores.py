"""scores: which record of image quality answers a cell, and what the cell says where none does."""

from __future__ import annotations

import dataclasses

import pytest

from workbench import judge, papers, probes, protocols, report, scores, store
from workbench.spec import Record

TABLE = papers.find_table("hitsr-table2")
IMAGES = ("baby", "bird", "butterfly", "head", "woman")


def record(value=32.21, variant="imdn-x4", probe="quality", protocol="hitsr+set5", trained_on="DIV2K", **changes):
    """A record of five images whose mean is `value`; `details` are changed one by one."""
    facts = probes.find(probe)
    details = {"complete": True, "missing": {}, "weights": {"name": f"{variant}-mine"}, "set": "set5"}
    details |= changes.pop("details", {})
    conditions = protocols.find(protocol).read(facts.reads, int(variant[-1]))
    conditions |= {"weights": {"sha256": "5" * 64, "trained_on": trained_on}, "images": "d" * 64}
    steps = (-2, -1, 0, 1, 2)
    fields = {
        "variant": variant,
        "protocol": protocol,
        "probe": probe,
        "probe_version": facts.version,
        "conditions": conditions | changes.pop("conditions", {}),
        "unit": facts.unit,
        "values": tuple(value + s / 100 for s in steps),
        "status": "ok",
        "reason": None,
        "recorded_at": "2026-01-01T00:00:00.000000Z",
        "machine": "a machine",
        "details": details,
    }
    return Record(**fields | changes)


def cell(*records, column="set5_psnr", table=TABLE, method="IMDN", scale=4):
    known = store.Contents(records, ()).newest()
    cells = judge.judge(table, known)
    return next(c for c in cells if (c.method, c.scale, c.column) == (method, scale, column))


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (32.21, "reproduced"),
        (32.2001, "reproduced"),
        (32.2199, "reproduced"),
        (32.1989, "differs"),
        (32.2211, "differs"),
    ],
)
def test_a_mean_within_a_hundredth_of_a_decibel_is_the_printed_one(value, verdict):
    found = cell(record(value))
    assert (found.printed, found.verdict) == ("32.21", verdict)
    assert found.measured == pytest.approx(value)
    assert "imdn-x4-mine, the mean over the 5 images of Set5" in found.why


def test_what_is_missing_is_told_with_its_name_once():
    missing = {"bird": "An image of 1x1 holds no 4x4 pixels.", "head": "a/head.png is empty.", "2 more": "not there"}
    told = ["bird: An image of 1x1 holds no 4x4 pixels.", "a/head.png is empty.", "2 more: not there"]
    assert scores.lacking(record(details={"missing": missing})) == told


def test_the_same_for_ssim_is_half_a_thousandth():
    assert cell(record(0.8952, probe="ssim"), column="set5_ssim").verdict == "reproduced"
    assert cell(record(0.8954, probe="ssim"), column="set5_ssim").verdict == "differs"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"trained_on": "DF2K"},
            "other weights, imdn-x4-mine (trained on: DF2K, the table's: DIV2K), give 32.2100 dB; ",
        ),
        ({"trained_on": "unknown"}, "(trained on: unknown, the table's: DIV2K)"),
        (
            {"details": {"complete": False, "missing": {"bird": "bird.png is not whole."}}},
            "5 images were judged with imdn-x4-mine, which are not all of Set5, so that there is no mean of the set:"
            " bird.png is not whole.",
        ),
        ({"protocol": "hitsr+set14"}, "needs Set5 and weights trained on DIV2K: workbench weights fetch imdn-x4-div2k"),
        ({"protocol": "hitsr+set5+ensemble"}, "needs Set5"),
        ({"protocol": "hitsr+set5+rgb"}, "needs Set5"),
        ({"variant": "imdn-x2"}, "needs Set5"),
        ({"probe_version": 99}, "needs Set5"),
        ({"status": "failed", "values": (), "reason": "broken"}, "needs Set5"),
    ],
)
def test_nothing_else_stands_for_the_cell(changed, said):
    found = cell(record(**changed))
    assert (found.verdict, found.measured) == ("not measured", None)
    assert said in found.why
    assert (
        "workbench data add set5 FOLDER; workbench measure imdn-x4 --probe quality --protocol hitsr+set5" in found.why
    )


def test_of_several_weights_those_of_the_table_answer():
    other = record(32.9, trained_on="DF2K", recorded_at="2026-02-01T00:00:00.000000Z")
    assert cell(record(), other).measured == pytest.approx(32.21)


def test_where_no_program_can_fetch_the_page_is_named():
    found = cell(method="SRFormer-L")
    assert (
        "workbench weights add FILE --published srformer-light-x4-div2k, from https://github.com/HVision-NKU"
        in found.why
    )


def test_a_cell_that_is_not_printed_is_not_judged():
    found = cell(method="EDSR-B", table=dataclasses.replace(TABLE, rows=tuple(
        dataclasses.replace(r, printed={}) for r in TABLE.rows
    )))  # fmt: skip
    assert found.verdict == "not printed"


def test_testers_that_cut_or_draw_have_their_own_protocol():
    esc = papers.find_table("esc-table2")
    known = {(c.method, c.column): c.protocol for c in judge.judge(esc, {})}
    assert known["OmniSR", "set14_psnr"] == "esc+tiles64+set14"
    assert known["ASID-D8", "set5_ssim"] == "esc+tiles64+set5"
    assert known["MambaIRV2-lt", "b100_psnr"] == "esc+drawn+b100"
    assert known["ESC", "urban100_psnr"] == "esc+urban100"
    assert protocols.find("esc+tiles64+set14").quality.overlap == 24


def test_every_column_of_quality_names_a_set_and_a_probe_of_images():
    for table in papers.TABLES.values():
        for column in table.columns:
            if column.modifier:
                assert probes.find(column.probe).images
                measure = {"quality": "psnr", "ssim": "ssim"}[column.probe]
                assert column.id == f"{column.modifier}_{measure}"
                assert column.title.startswith(protocols.SETS[column.modifier])


# --- as tables show it


def test_the_table_shows_the_difference_in_decibels_and_counts_the_verdicts():
    cells = judge.judge(TABLE, store.Contents((record(32.2149),), ()).newest())
    text = report.render(TABLE, cells, "md")
    row = next(line for line in text.splitlines() if line.startswith("| IMDN | x4"))
    assert "| 32.21 | 32.215 | +0.0049 | reproduced |" in row
    assert "Set5 PSNR: 1/30 reproduced, 29/30 not measured" in text
    assert "Set5 SSIM:" not in text


def test_what_is_missing_is_told_once_for_each_set():
    text = report.render(TABLE, judge.judge(TABLE, {}), "md")
    told = [line for line in text.splitlines() if line.startswith("- set14_psnr, set14_ssim")]
    assert len(told) == 1
    assert "60 cells: needs Set14 and weights trained on DIV2K, for the first of them by: workbench weights" in told[0]
