"""What the audit finds, in verdicts and in reports."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from workbench import audit, detective, judge, papers, report, store

PUBLISHED = papers.TABLES["esc-table2"]


@pytest.fixture(scope="module")
def unmeasured():
    return judge.judge(PUBLISHED, {})


def cell(cells, method, scale, column):
    (one,) = (c for c in cells if (c.method, c.scale, c.column) == (method, scale, column))
    return one


def test_what_is_open_becomes_suspect_and_says_by_what(unmeasured):
    ssim = cell(unmeasured, "ESC-FP", 3, "manga109_ssim")
    assert ssim.verdict == "suspect"
    assert ssim.why.startswith("ESC-FP x3, urban100_ssim has the same; about 0.95")
    assert "; not measured: needs Manga109" in ssim.why
    assert [f.rule for f in ssim.audit] == ["copy", "outlier", "ranks", "order"]
    assert cell(unmeasured, "ESC", 2, "set5_psnr").audit == ()


def test_another_print_alone_gives_no_verdict_where_nothing_was_measured(unmeasured):
    flops = cell(unmeasured, "ELAN-lt", 2, "flops_g")
    assert (flops.verdict, [f.kind for f in flops.audit]) == ("not measured", ["contradicted"])
    assert flops.why.startswith("no record yet: workbench measure elan-light-x2")
    assert "FLOPs: 42/42 not measured;" in judge.summary(PUBLISHED, unmeasured)


@pytest.mark.parametrize(("value", "verdict"), [(203_100_000_000, "reproduced"), (203_190_000_000, "explained"),
                                                (200_000_000_000, "contradicted")])  # fmt: skip
def test_what_a_measurement_bears_out_stays_so_and_keeps_its_findings(make_record, value, verdict):
    known = store.Contents((make_record("elan-light-x2", "macs", values=(value,)),), ()).newest()
    flops = cell(judge.judge(PUBLISHED, known), "ELAN-lt", 2, "flops_g")
    assert (flops.verdict, len(flops.audit)) == (verdict, 1)
    assert ("; differs: " in flops.why) == (verdict == "contradicted")
    told = flops.why.startswith("another print of the same has 201.3: ELAN-L in HiT-SR (ECCV 2024), Table 2; differs: ")
    assert told == (verdict == "contradicted")


def test_a_contradicted_cell_that_was_measured_is_still_searched(make_record):
    known = store.Contents((make_record("elan-light-x2", "macs", values=(200_000_000_000,)),), ()).newest()
    cells = judge.judge(PUBLISHED, known)
    asked = list(detective.searches(PUBLISHED, cells))
    assert [(r.variant.name, r.probe.name) for r in asked] == [("elan-light-x2", "macs-search")]


def test_evidence_inside_the_table_goes_first_and_weak_evidence_makes_no_verdict(unmeasured):
    one = cell(unmeasured, "ESC", 2, "set5_psnr")
    place = audit.Place("esc-table2", "ESC", 2, "set5_psnr")
    other = audit.Finding(place, "38.35", "other print", "elsewhere", "strong", kind="contradicted")
    inside = audit.Finding(place, "38.35", "outlier", "inside", "strong")
    weak = replace(inside, strength="weak")
    assert judge.doubted(one, [other, inside]).verdict == "suspect"
    assert judge.doubted(one, [other, weak]).verdict == "not measured"
    assert judge.doubted(replace(one, verdict="differs"), [other, weak]).verdict == "contradicted"
    assert judge.doubted(replace(one, verdict="differs"), [other, inside]).verdict == "suspect"
    assert judge.doubted(one, [weak]).verdict == "not measured"
    assert judge.doubted(one, [weak]).audit == (weak,)
    assert judge.doubted(replace(one, verdict="planned"), [inside]).verdict == "planned"


def test_findings_are_marked_and_listed_in_every_format(unmeasured):
    text = report.render(PUBLISHED, unmeasured, "md")
    assert "| 0.8706§ |" in text
    marked = len(re.findall(r"§(?:\*\*|</ins>)? \|", text))
    assert marked == len({f.place for f in audit.of(PUBLISHED)})
    listed = text.partition("## Audit (§)\n")[2].partition("\n## ")[0]
    assert listed.count("\n- ") == marked
    assert listed.count(" (strong): ") + listed.count(" (certain): ") == len(audit.of(PUBLISHED))
    assert "- ESC x4, b100_ssim, printed 0.7447: best mark (certain): marked as the best, but ASID-D8" in listed
    page = report.render(PUBLISHED, unmeasured, "html")
    assert "0.8706§</td>" in page
    assert "<h2>Audit (§)</h2>" in page
    latex = report.render(PUBLISHED, unmeasured, "tex")
    assert r"0.8706\S{}" in latex
    assert r"\S{} something speaks against the printed figure" in latex


def test_csv_and_json_have_a_column_of_findings(unmeasured):
    lines = list(csv.DictReader(io.StringIO(report.render(PUBLISHED, unmeasured, "csv"))))
    told = {(r["method"], r["scale"], r["column"]): r["audit"] for r in lines}
    assert told["ESC-FP", "4", "set5_ssim"].startswith("outlier (strong): about 0.8997 is what ")
    assert told["ESC-FP", "4", "set14_ssim"] == ""
    assert [r["audit"] for r in lines] == [r["audit"] for r in json.loads(report.render(PUBLISHED, unmeasured, "json"))]


def test_a_table_without_findings_has_no_section():
    table = papers.TABLES["esc-table6"]
    cells = judge.judge(table, {})
    assert "Audit" not in report.render(table, cells, "md") + report.render(table, cells, "html")
    assert judge.summary(table, cells).startswith(
        "esc-table6: no column that this version can check; shown as reported"
    )
