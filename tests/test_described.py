"""TOML files that users write: what is read of them, and the one line for what is not."""

from decimal import Decimal

import pytest

from workbench import described
from workbench.spec import UserError


@pytest.fixture
def read(tmp_path):
    def make(text):
        path = tmp_path / "mine.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return described.read(path, "a table", "README")

    return make


def test_values_keep_their_digits_and_their_kinds(read):
    section = read("a = 28.90\nb = 3\nc = 'x'\n[d]\ne = true\n")
    assert (section.get("a", Decimal), section.get("b", int), section.line("c")) == (Decimal("28.90"), 3, "x")
    assert described.digits(section.values["a"]) == "28.90"
    assert section.inner("d").get("e", bool) is True
    assert (section.get("f", int), section.inner("g"), section.lines("h")) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "work", "said"),
    [
        ("rwos = 1", lambda s: s.only("rows", "caption"), "line 1: rwos: there is no such key. Did you mean 'rows'?"),
        ("\n[d]\ncolour = 1", lambda s: s.inner("d").only("value"), "line 3: d.colour: there is no such key. Known"),
        ("a = 'x'", lambda s: s.get("a", int), "line 1: a: 'x' is not a whole number."),
        ("a = true", lambda s: s.get("a", int), "a: True is not a whole number."),
        ("a = 1", lambda s: s.get("a", bool), "a: 1 is not true or false."),
        ("a = '  '", lambda s: s.line("a"), "a: it is empty; leave it out"),
        ("a = ['x', 1]", lambda s: s.lines("a"), "a: 1 is not text in quotes."),
        ("a = 'flor'", lambda s: s.one_of("a", ("floor", "ceil")), "a: 'flor' is none. Did you mean 'floor'?"),
        ("x = {a = 1}\ny = {a = 2}", lambda s: s.inner("y").only("b"), "mine.toml: y.a: there is no such key."),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_with_its_place(read, text, work, said):
    with pytest.raises(UserError) as told:
        work(read(text))
    assert said in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "is no TOML: Invalid value (at end of document)"),
        ("a = 1\na = 2", "is no TOML: Cannot overwrite a value (at "),
        ("=", "Mend that line; how it describes a table: README"),
        (b"\xff", "is no text in UTF-8 (byte 0)"),
        (b"#" * (2**20 + 1), "has over 1 MiB"),
    ],
    ids=["cut", "twice", "a sign", "bytes", "large"],
)
def test_what_is_no_such_file_has_its_sentence(read, text, said):
    with pytest.raises(UserError) as told:
        read(text)
    assert said in str(told.value)


def test_a_file_that_is_not_there_has_its_sentence(tmp_path):
    with pytest.raises(
        UserError, match=r"^Cannot read .*none\.toml: No such file .* TOML file that describes claims\.$"
    ):
        described.read(tmp_path / "none.toml", "claims", "README")


def test_a_text_of_one_line_has_nothing_that_hides_in_one(read):
    assert read('a = "one\\n\\u202e two\\u0000"').line("a") == "one two"


@pytest.mark.parametrize("value", [True, [1], {"a": 1}, None])
def test_what_is_no_figure_is_refused(value):
    with pytest.raises(UserError, match="is no figure; write it as it is printed"):
        described.digits(value)
