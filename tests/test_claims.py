"""claims: what abstracts say, from printed cells and from records."""

import json
from dataclasses import replace

import pytest

from workbench import claims, environment, models, papers, protocols, store
from workbench.published import Claim, Column, Row, Side, Table
from workbench.report import sentences

SPEED = Column("ms", "Latency", "ms", "latency", 1e-3, "low", "a CUDA GPU")
SIZE = Column("k", "Params", "K", "params", 1e3, "low", "nothing")
MEMORY = Column("mb", "Memory", "MB", "memory", 2**20, "low", "a CUDA GPU", estimate="planned-memory")


@pytest.fixture
def table(monkeypatch):
    rows = (
        Row("A", 4, "rfdn-x4", {"ms": "10", "k": "550", "mb": "100"}),
        Row("B", 4, "imdn-x4", {"ms": "37", "k": "715", "mb": "622"}),
        Row("Stranger", 4, None, {"ms": "5", "k": "900", "mb": "80"}),
        Row("B", 2, "imdn-x2", {"ms": "90", "k": "3", "mb": "1"}),
    )
    made = Table("made", "Made", "P", "P, made", "esc", (SPEED, SIZE, MEMORY), rows)
    monkeypatch.setitem(papers.TABLES, "made", made)
    return made


def claim(relation, printed, of, over=None, **more):
    return Claim("c", "P", "what is said", printed, relation, "x", "made", of, over, **more)


def known(make_record, **values):
    """Records of parameters, by variant."""
    return store.Contents(
        tuple(make_record(name.replace("_", "-"), "params", values=(v,)) for name, v in values.items()), ()
    ).newest()


def here(record):
    """A timed record as one of this machine."""
    return replace(record, conditions=record.conditions | {"machine": environment.machine()})


@pytest.mark.parametrize(
    ("relation", "printed", "of", "over", "derived", "figure"),
    [
        ("ratio", "3.7", Side("imdn-x4", "ms"), Side("rfdn-x4", "ms"), "follows", 3.7),
        ("ratio", "6.2", Side("imdn-x4", "mb"), Side("rfdn-x4", "mb"), "follows", 6.22),
        ("ratio", "6.3", Side("imdn-x4", "mb"), Side("rfdn-x4", "mb"), "does not follow", 6.22),
        ("ratio", "1.2", Side("imdn-x4", "k"), Side("rfdn-x4", "k"), "does not follow", 1.3),
        ("ratio", "2.43", Side("imdn-x2", "ms"), Side("imdn-x4", "ms"), "follows", 90 / 37),
        ("ratio", "2.4", Side("imdn-x2", "ms"), Side("imdn-x4", "ms"), "follows", 90 / 37),
        ("ratio", "1", Side("imdn-x4", "k"), Side("rfdn-x4", "k"), "follows", 1.3),
        ("ratio", "5", Side("rfdn-x4", "k"), Side("imdn-x4", "mb"), "does not follow", 550 / 622),
        ("difference", "27", Side("imdn-x4", "ms"), Side("rfdn-x4", "ms"), "follows", 27),
        ("difference", "-27", Side("rfdn-x4", "ms"), Side("imdn-x4", "ms"), "follows", -27),
        ("about", "500", Side("rfdn-x4", "k"), None, "does not follow", 550),
        ("about", "530", Side("rfdn-x4", "k"), None, "follows", 550),
        ("least", "1", Side("rfdn-x4", "k"), None, "follows", 1.3),
        ("least", "1", Side("rfdn-x4", "ms"), None, "does not follow", 0.5),
        ("least", "1", Side("carn-x4", "k"), None, "not printed", None),
        ("more", "1", Side("imdn-x4", "k"), Side("rfdn-x4", "k"), "follows", 1.3),
        ("more", "1", Side("rfdn-x4", "k"), Side("imdn-x4", "k"), "does not follow", 1 / 1.3),
        ("ratio", "2", Side("carn-x4", "k"), Side("rfdn-x4", "k"), "not printed", None),
        ("ratio", "2", Side("imdn-x4", "ms", "esc"), Side("rfdn-x4", "ms"), "not printed", None),
    ],
)
def test_what_follows_from_print(table, relation, printed, of, over, derived, figure):
    one = claims.judge_claim(claim(relation, printed, of, over), {})
    assert one.derived == derived
    assert one.from_print == (figure if figure is None else pytest.approx(figure))
    assert one.verdict == "open"


def test_a_figure_may_be_cut_off(table):
    over = Side("imdn-x4", "k")  # 37 / 715 = 0.0517
    assert claims.judge_claim(claim("ratio", "0.051", Side("imdn-x4", "ms"), over), {}).derived == "cut off"


def test_records_answer_it(table, make_record):
    seen = known(make_record, rfdn_x4=433_448, imdn_x4=715_176)
    ratio = claim("ratio", "1.65", Side("imdn-x4", "k"), Side("rfdn-x4", "k"))
    one = claims.judge_claim(ratio, seen)
    assert (one.verdict, one.estimated, one.found) == ("reproduced", False, pytest.approx(1.64997, abs=1e-5))
    assert one.why == "imdn-x4 under esc: 715.176 K, measured over rfdn-x4 under esc: 433.448 K, measured"
    assert claims.judge_claim(replace(ratio, printed="1.6"), seen).verdict == "reproduced"
    assert claims.judge_claim(replace(ratio, printed="1.8"), seen).verdict == "differs"
    assert claims.judge_claim(
        claim("difference", "282", *(Side(v, "k") for v in ("imdn-x4", "rfdn-x4"))), seen
    ).verdict == ("reproduced")


def test_what_is_missing_is_named_with_its_command(table, make_record):
    ratio = claim("ratio", "1.65", Side("imdn-x4", "k"), Side("rfdn-x4", "k"))
    one = claims.judge_claim(ratio, known(make_record, imdn_x4=715_176))
    assert (one.verdict, one.found) == ("open", None)
    assert one.why == "no record yet: workbench measure rfdn-x4 --probe params --protocol esc"
    one = claims.judge_claim(claim("ratio", "3.7", Side("imdn-x4", "ms"), Side("rfdn-x4", "ms")), {})
    assert one.why == "needs a CUDA GPU: workbench measure imdn-x4 --probe latency --protocol esc"


def test_a_least_is_below_what_strangers_print_too(table, make_record):
    least = claim("least", "1", Side("rfdn-x4", "k"))
    seen = known(make_record, rfdn_x4=433_448, imdn_x4=2_000_000)
    one = claims.judge_claim(least, seen)
    assert one.verdict == "reproduced"
    assert one.why.endswith("; the least of 2 others has 900 K (Stranger, as printed)")
    worse = claims.judge_claim(least, known(make_record, rfdn_x4=433_448, imdn_x4=400_000))
    assert (worse.verdict, worse.found) == ("differs", pytest.approx(400 / 433.448))
    spared = claims.judge_claim(replace(least, apart=("B",)), known(make_record, rfdn_x4=433_448, imdn_x4=400_000))
    assert spared.verdict == "reproduced"


def test_a_least_is_below_what_every_table_has(table, make_record, monkeypatch):
    rows = (
        Row("Far", 4, None, {"k": "400"}),
        Row("B", 4, None, {"k": "1"}),
        Row("Far", 2, None, {"k": "2"}),
    )
    monkeypatch.setitem(papers.TABLES, "other", replace(table, id="other", rows=rows))
    one = claims.judge_claim(claim("least", "1", Side("rfdn-x4", "k")), known(make_record, rfdn_x4=300_000))
    assert one.found == pytest.approx(400 / 300)  # of one method the table of the claim goes before another one
    assert one.why.endswith("; the least of 3 others has 400 K (Far, as printed)")


def test_a_claim_names_its_records_and_their_machines(table, make_record):
    seen = known(make_record, rfdn_x4=433_448, imdn_x4=715_176)
    ratio = claim("ratio", "1.65", Side("imdn-x4", "k"), Side("rfdn-x4", "k"))
    one = claims.judge_claim(ratio, seen)
    assert [r.variant for r in one.records] == ["imdn-x4", "rfdn-x4"]
    shown = sentences.as_object(one)
    assert [(r["variant"], r["probe"], r["protocol"]) for r in shown["records"]] == [
        ("imdn-x4", "params", "esc"),
        ("rfdn-x4", "params", "esc"),
    ]
    assert (shown["device"], shown["interval"]) == (one.records[0].machine, None)
    told = sentences.text([one])
    assert f"    by: params of imdn-x4 under esc, {one.records[0].recorded_at[:10]}, {one.records[0].machine}; " in told
    shown = sentences.as_object(claims.judge_claim(ratio, {}))
    assert (shown["records"], shown["device"]) == ([], None)


def test_a_ratio_of_times_has_an_interval_and_is_judged_by_it(table, make_record):
    base = make_record("rfdn-x4", "latency", values=(0.010, 0.0101, 0.0099, 0.010) * 5)
    slow = make_record("imdn-x4", "latency", values=(0.0375, 0.0380, 0.0370, 0.0376) * 5)
    seen = store.Contents(tuple(here(r) for r in (base, slow)), ()).newest()
    ratio = claim("ratio", "3.7", Side("imdn-x4", "ms"), Side("rfdn-x4", "ms"))
    one = claims.judge_claim(ratio, seen)
    low, high = one.interval
    assert low < one.found < high
    assert (one.verdict, one.estimated) == ("reproduced", False)  # 3.76 rounds to 3.8, and is within the tolerance
    assert claims.judge_claim(replace(ratio, printed="4.9"), seen).verdict == "differs"
    assert f" [{low:.3g}, {high:.3g}]; " in sentences.found(one)
    assert sentences.as_object(one)["interval"] == (low, high)
    exact = replace(SPEED, tolerance=0.0)
    papers.TABLES["made"] = replace(table, columns=(exact, SIZE, MEMORY))
    held = f"{high:.3f}"  # only the interval holds it
    assert claims.judge_claim(replace(ratio, printed=held), seen).verdict == "reproduced"
    assert claims.judge_claim(replace(ratio, printed=f"{high + 0.1:.3f}"), seen).verdict == "differs"


def test_more_is_more_by_whatever_factor(table, make_record):
    more = claim("more", "1", Side("imdn-x4", "k"), Side("rfdn-x4", "k"))
    one = claims.judge_claim(more, known(make_record, rfdn_x4=433_448, imdn_x4=715_176))
    assert (one.verdict, sentences.found(one).partition(";")[0]) == ("reproduced", "reproduced: 1.65 times as much")
    assert claims.judge_claim(more, known(make_record, rfdn_x4=433_448, imdn_x4=433_448)).verdict == "differs"


def test_ablations_answer_what_asid_says_of_its_two_ideas(make_record):
    values = {"asid-x4": 20_933_276_280, "asid-unshared-x4": 22_968_172_920}
    records = tuple(make_record(name, "macs", values=(v,)) for name, v in values.items())
    told = {j.claim.id: j for j in claims.judged(store.Contents(records, ()).newest())}
    assert (told["asid-sharing"].verdict, told["asid-sharing"].found) == ("reproduced", pytest.approx(1.0972, abs=1e-4))
    missing = "no record yet: workbench measure asid-undistilled-x4 --probe macs --protocol esc"
    assert (told["asid-distillation"].verdict, told["asid-distillation"].why) == ("open", missing)


def test_an_estimate_makes_a_claim_planned_and_never_reproduced(table, make_record):
    records = [make_record(f"{n}-x4", "planned-memory", values=(v * 2**20,)) for n, v in (("imdn", 622), ("rfdn", 100))]
    seen = store.Contents(tuple(records), ()).newest()
    ratio = claim("ratio", "6.2", Side("imdn-x4", "mb"), Side("rfdn-x4", "mb"))
    one = claims.judge_claim(ratio, seen)
    assert (one.verdict, one.estimated, one.found) == ("planned", True, pytest.approx(6.22))
    assert claims.judge_claim(replace(ratio, printed="6.3"), seen).verdict == "planned"  # within the column's 2 %
    assert claims.judge_claim(replace(ratio, printed="6.5"), seen).verdict == "differs"


def test_the_papers_claims_name_what_there_is():
    assert len(papers.CLAIMS) == sum(len(p.CLAIMS) for p in papers.PAPERS)
    for one in papers.CLAIMS.values():
        table = papers.find_table(one.table)
        assert (one.of is None) == bool(one.needs)
        for side in (one.of, one.over):
            if side:
                assert models.find(side.variant)
                assert side.column in {c.id for c in table.columns}
                assert not side.protocol or protocols.find(side.protocol)
        assert set(one.apart) <= {r.method for r in table.rows}


def test_what_the_two_abstracts_print_follows_from_table_2_where_it_is_there():
    told = {j.claim.id: (j.derived, j.from_print) for j in claims.judged({})}
    assert told["esc-hitsrf-psnr"] == ("follows", pytest.approx(0.27))
    assert told["esc-hitsrf-latency"] == ("follows", pytest.approx(82.1 / 21.9))
    assert told["esc-hitsrf-memory"] == ("follows", pytest.approx(1331 / 215))
    assert sum(derived == "not printed" for derived, _ in told.values()) == len(told) - 3


def test_the_command_tells_all_of_them(workbench, make_record, tmp_path):
    with store.Writer(tmp_path) as writer:
        writer.append([make_record("asid-x4", "params", values=(313_104,))])
    ran = workbench("claims", "--records", tmp_path)
    assert "✓ ASID: about 300K parameters, at x4 (asid-size-x4)\n" in ran.out
    assert "    here: reproduced: 313.1 K; asid-x4 under esc: 313.104 K, measured\n" in ran.out
    assert (
        "· ESC: 3.7 times less latency than HiT-SRF at x4 (esc-hitsrf-latency)\n    in print: follows: 3.75x\n"
        in ran.out
    )
    assert ran.out.endswith(f"\n{len(papers.CLAIMS)} claims: 2 reproduced, {len(papers.CLAIMS) - 2} open\n")
    shown = json.loads(workbench("claims", "--json", "--records", tmp_path).out)
    assert [c["id"] for c in shown] == list(papers.CLAIMS)
    assert {c["verdict"] for c in shown} == {"reproduced", "open"}


def test_the_page_escapes_what_a_paper_says(table):
    one = claims.judge_claim(replace(claim("about", "530", Side("rfdn-x4", "k")), sentence="<b>1 < 2</b>"), {})
    assert "<td>&lt;b&gt;1 &lt; 2&lt;/b&gt;</td>" in sentences.html([one])
