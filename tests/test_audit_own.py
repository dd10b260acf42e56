"""A researcher's own table: which columns are what, what is wrong with a file in one sentence, and the command."""

import json

import pytest

from workbench import audit, papers
from workbench.audit import own
from workbench.spec import UserError

PUBLISHED = papers.TABLES["hitsr-table2"]


@pytest.fixture
def file(tmp_path):
    def write(text, name="mine.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def read(path, **more):
    return own.read(path, more.pop("columns", {}), **more)


# --- which columns are what


@pytest.mark.parametrize(
    ("heading", "column", "factor"),
    [
        ("set5_psnr", "set5_psnr", 1),
        ("Set5 PSNR", "set5_psnr", 1),
        ("PSNR (Urban100)", "urban100_psnr", 1),
        ("BSD100 / SSIM", "b100_ssim", 1),
        ("PSNR", "images_psnr", 1),
        ("#Params (M)", "params_k", 1e6),
        ("params_k", "params_k", 1e3),
        ("FLOPs [G]", "flops_g", 1e9),
        ("MACs(T)", "flops_g", 1e12),
        ("Mult-Adds", "flops_g", 0),
        ("GFLOPs", "flops_g", 1e9),
        ("Runtime (ms)", "latency_ms", 1e-3),
        ("Memory", "memory_mb", 2**20),
    ],
)
def test_columns_are_known_by_their_names(file, heading, column, factor):
    table, unknown = read(file(f"Model,Scale,{heading}\nA,x2,1.5\nB,2,2.5\n"))
    assert [(c.id, c.factor) for c in table.columns] == [(column, factor)]
    assert [(r.method, r.scale, r.printed[column]) for r in table.rows] == [("A", 2, "1.5"), ("B", 2, "2.5")]
    assert unknown == []


def test_or_as_they_are_told(file):
    path = file("Wer,Ours,Note\nA,38.1,x\nB,38.2,y\n")
    table, unknown = read(path, columns={"Wer": "method", "Ours": "set5_psnr"}, scale=3)
    assert ([c.id for c in table.columns], {r.scale for r in table.rows}, unknown) == (["set5_psnr"], {3}, ["Note"])


@pytest.mark.parametrize(
    "text",
    [
        "method,scale,set5_psnr\nA,2,38.14\nB,2,-\n",
        "method;scale;set5_psnr\nA;2;38,14\nB;2;n/a\n",
        "method\tscale\tset5_psnr\nA\t2\t38.14\nB\t2\t\n",
        "| method | scale | set5_psnr |\n| --- | ---: | :--- |\n| A | 2 | **38.14** |\n| B | 2 | – |\n",
        "\ufeffmethod,scale,set5_psnr\r\n\r\nA,2,\\textbf{38.14}\r\nB,2,NaN\r\n",
    ],
    ids=["comma", "semicolon", "tab", "markdown", "spreadsheet"],
)
def test_separators_decimal_commas_and_empty_cells_are_understood(file, text):
    table, _ = read(file(text))
    assert [dict(r.printed) for r in table.rows] == [{"set5_psnr": "38.14"}, {}]
    assert len(table.bold) == ("*" in text or "textbf" in text)


def test_a_published_table_as_a_file_is_found_out_alike(file, root):
    path = file((root / "workbench" / "papers" / "hitsr_table2.csv").read_text())
    table, unknown = read(path, training="DIV2K", protocol="hitsr")
    assert unknown == []
    assert [r.printed for r in table.rows] == [r.printed for r in PUBLISHED.rows]
    seen = {(f.place.method, f.place.scale, f.place.column, f.rule) for f in audit.of(table)}
    held = {(f.place.method, f.place.scale, f.place.column, f.rule) for f in audit.of(PUBLISHED)}
    assert seen == held
    assert {rule for *_, rule in seen} >= {"outlier", "other print"}


def test_counts_without_a_unit_are_compared_with_no_other_print(file):
    rules = []
    for heading in ("Params", "Params (K)", "Params (M)"):
        table, _ = read(file(f"method,scale,{heading}\nSwinIR-light,2,0.910\nELAN-light,2,0.621\n"))
        rules.append({f.rule for f in audit.of(table)})
    assert rules == [set(), {"other print"}, set()]


@pytest.mark.parametrize(
    ("text", "unit", "printed"),
    [
        ("FLOPs,2,40.9G\n", "G", "40.9"),
        ("Params (K),2,0.91M\n", "K", "9.1E+2"),
        ("Params,2,910 K\n", "K", "910"),
        ("memory,2,1.5GB\n", "MB", "1536"),
        ("latency (ms),2,**12.3us**\n", "ms", "0.0123"),
    ],
)
def test_a_unit_may_be_written_behind_a_figure(file, text, unit, printed):
    heading, line = text.split(",", 1)
    table, _ = read(file(f"method,scale,{heading}\nA,{line}B,{line}"))
    (column,) = table.columns
    assert (column.unit, table.rows[0].printed[column.id]) == (unit, printed)
    assert all("E" not in f.printed for f in audit.of(table))
    if heading == "Params (K)":
        (found,) = audit.of(read(file(f"method,scale,{heading}\nSwinIR-light,2,0.91M\nELAN-light,2,0.63M\n"))[0])
        assert (found.printed, found.rule) == ("630", "other print")


# --- what is wrong with a file

GOOD = "method,scale,set5_psnr\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"is empty; the first line has to name the columns"),
        ("\n\n", r"is empty; "),
        ("hello\nworld\n", r"begins with 'hello', which has one column"),
        ("SwinIR,2,38.14,0.9611\nELAN,2,38.17,0.9612\n", r"has no line of headings: its first is 'SwinIR,2,38.14"),
        (GOOD, r"has no row below its headings"),
        (GOOD + "A,2,38\n", r"has 1 row below its headings; a figure is checked against those of others"),
        ("method,scale,params\nA,2,38K\nB,2,38\n", r"Line 3 of .*, Params: '38' has no unit, and others of its column"),
        (GOOD + "A,2,38\nB,2,38.1K\n", r"'38.1K' is no figure"),
        (GOOD + "A,2,38\nB,2,good\n", r"Line 3 of .*, Set5 PSNR: 'good' is no figure; write one figure in digits"),
        (GOOD + "A,2,38\nB,2,inf\n", r"'inf' is no figure"),
        (GOOD + "A,2,38\nB,2,38.1/0.96\n", r"'38.1/0.96' is no figure"),
        (GOOD + "A,2,38\nA,x2,38\n", r"Line 3 of .* has A x2 a second time"),
        (GOOD + "A,2,38\nB,two,38\n", r"Line 3 of .* has scale 'two'; write a whole number: 4 or x4"),
        (GOOD + "A,2,38\nB,,38\n", r"has scale ''"),
        (GOOD + "A,2,38\nB,0,38\n", r"has scale '0'"),
        (GOOD + "A,2,38\n,2,38\n", r"Line 3 of .* names no method"),
        (GOOD + "A,2,38,1\nB,2,38\n", r"Line 2 of .* has 4 fields, and there are 3 headings"),
        (GOOD + '"A,2,38\nB,2,38\n', r"is no CSV file: unexpected end of data; check its quotes"),
        ("method,set5_psnr\nA,38\nB,38\n", r"has no column of scales; name it: --column 'NAME=scale', or give one"),
        ("scale,set5_psnr\n2,38\n3,38\n", r"has no column of methods among scale, set5_psnr; name it"),
        ("method,scale,foo\nA,2,38\nB,2,38\n", r"No column of .* is one to check; say what one is"),
        ("method,scale,PSNR,PSNR (dB)\nA,2,38,1\nB,2,3,8\n", r"'PSNR' and 'PSNR \(dB\)' are the same thing"),
        ("method,scale,a,a\nA,2,38,1\nB,2,3,8\n", r"names column 'a' twice"),
        (GOOD + "".join(f"N{i},2,38\n" for i in range(1001)), r"has 1,001 rows and 3 columns; a printed table has"),
        (b"\xff\xfe\x00m", r"is no text in UTF-8 \(byte 0\)"),
        (b"a" * (2**22 + 1), r"has over 4 MiB; a printed table is smaller; name another"),
    ],
)  # fmt: skip
def test_a_bad_file_has_its_sentence(file, text, sentence):
    with pytest.raises(UserError, match=sentence) as raised:
        read(file(text))
    assert "\n" not in str(raised.value)


def test_so_have_files_that_are_none_and_columns_that_are_none(file, tmp_path):
    with pytest.raises(UserError, match=r"^Cannot read .*/none\.csv: No such file or directory\. Give a CSV file"):
        read(tmp_path / "none.csv")
    with pytest.raises(UserError, match=r"Is a directory"):
        read(tmp_path)
    path = file(GOOD + "A,2,38\nB,2,39\n")
    with pytest.raises(UserError, match=r"has no column 'foo'; it has: method, scale, set5_psnr\.$"):
        read(path, columns={"foo": "method"})
    with pytest.raises(UserError, match=r"^--column cannot be told that something is 'beauty'; known: method, "):
        read(path, columns={"set5_psnr": "beauty"})


# --- the command


def test_the_command_tells_findings_by_table_and_what_they_are_worth(workbench):
    ran = workbench("audit", "hitsr-table2")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].startswith("hitsr-table2: ")
    assert lines[0].endswith(" of 606 printed figures in doubt")
    assert sum(line.startswith("  ") for line in lines) == len(audit.of(PUBLISHED))
    assert lines[-1] == f"False alarms: {audit.FALSE_ALARMS}"
    assert any(line.startswith("outlier: ") for line in lines)
    every = workbench("audit").out
    assert all(f"\n{name}: " in f"\n{every}" for name in papers.TABLES)
    assert "esc-table6: nothing found in 80 figures\n" in every


def test_json_has_a_finding_for_each_with_its_place_and_evidence(workbench):
    read = json.loads(workbench("audit", "--json").out)
    assert len(read) == sum(map(len, audit.held().values()))
    for entry in read:
        assert entry.keys() == {
            "table", "method", "scale", "column", "printed", "rule", "evidence", "strength", "kind", "others",
        }  # fmt: skip
        rows = {(r.method, r.scale): r.printed for r in papers.TABLES[entry["table"]].rows}
        assert entry["printed"] == rows[entry["method"], entry["scale"]][entry["column"]]


def test_a_file_of_one_s_own_is_audited(workbench, file):
    path = file("Net,Ours\nA,38.1\nB,1.2\n")
    ran = workbench("audit", path, "--column", "Net=method", "--column", "Ours=set5_ssim", "--scale", 4)
    assert ran.code == 0
    assert ran.out.startswith(
        "mine.csv: 2 of 2 printed figures in doubt; with fewer than 4 methods, only what needs no comparison was"
    )
    assert "A x4, set5_ssim, printed 38.1: impossible (certain): SSIM is from -1 to 1\n" in ran.out
    more = workbench("audit", file("method,scale,note,psnr\nA,2,x,38.1\nB,2,y,38.2\n"), "--json")
    assert (json.loads(more.out), more.err) == ([], "workbench: not looked at: note; what is it? --column NAME=KIND\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("esc-tabel2",), "No table 'esc-tabel2'. Did you mean 'esc-table2'"),
        (("esc-table2", "--scale", 4), "--column, --scale, --training and --protocol are of a FILE.csv"),
        (("none.csv",), "Cannot read none.csv: No such file or directory."),
        (("none.csv", "--column", "foo"), "--column 'foo' cannot be read; write a heading and its kind"),
        (("none.csv", "--protocol", "ecs"), "No protocol 'ecs'."),
        (("none.csv", "--scale", 0), "Invalid value for '--scale'"),
    ],
)
def test_what_cannot_be_asked_has_its_sentence(workbench, words, sentence):
    ran = workbench("audit", *words)
    assert (ran.code, ran.out) == (2, "")
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


def test_auditing_needs_no_torch(python):
    held = "print(sum(map(len, audit.held().values())))"
    ran = python(f"import sys; sys.modules['torch'] = None\nfrom workbench import audit\n{held}")
    assert int(ran.out) == sum(map(len, audit.held().values())), ran.err
