"""What a shell completes, and what that costs."""

import inspect
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping

import pytest

from workbench import cli, models
from workbench.cli import completing

BLOCKED = """
import os, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in {"torch", "numpy", "pandas", "matplotlib", "rich.progress", "duckdb", "scipy"}:
            os._exit(97)
sys.meta_path.insert(0, Blocker())
from workbench.cli import main
main()
"""


@pytest.fixture(scope="module")
def completed(root):
    """What bash is answered for a line, of which the last word was begun."""

    def ask(line, shell="bash"):
        words = shlex.split(line) + ([""] if line.endswith(" ") else [])
        asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), completing.VARIABLE: f"complete_{shell}"}
        command = [sys.executable, "-c", BLOCKED]
        done = subprocess.run(command, cwd=root, env=os.environ | asked, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return ask


def test_names_are_completed_by_a_shell_without_a_heavy_import(completed):
    assert completed("workbench measure esc-x4 imdn-") == [n for n in models.VARIANTS if n.startswith("imdn-")]
    assert completed("workbench table esc-table2 --json hitsr-") == []  # it takes one
    assert completed("workbench measure esc-x4 --protocol esc+ceil+tf") == ["esc+ceil+tf32"]


@pytest.mark.parametrize(
    ("names", "begun", "some"),
    [
        (completing.variants, "esc-w", "esc-window8-x2"),
        (completing.variants, "", "imdn-x4"),
        (completing.protocols, "st", "steady"),
        (completing.protocols, "esc+ceil+", "esc+ceil+scan"),
        (completing.probes, "", "macs"),
        (completing.tables, "", "esc-table2"),
        (completing.figures, "", "esc-bubble"),
        (completing.devices, "", "rtx-4090"),
        (completing.families, "", "asid"),
        (completing.weights, "", "imdn-x4-div2k"),
        (completing.sets, "", "urban100"),
    ],
)
def test_what_may_stand_there(names, begun, some):
    assert some in names(begun)


def test_a_modifier_is_offered_once():
    assert "esc+ceil+ceil" not in completing.protocols("esc+ceil+")


def test_every_place_is_one_of_a_command():
    def places(commands, path=""):
        for name, command in commands.items():
            if isinstance(command, Mapping):
                yield from places(command, f"{path} {name}".strip())
                continue
            for parameter in inspect.signature(command).parameters:
                yield from (parameter, f"{path} {name} {parameter}".strip())

    known = {place for group in cli.GROUPS for place in places(group.COMMANDS)}
    assert set(completing.PLACES) <= known


def test_a_home_that_takes_no_file_has_its_sentence(workbench, monkeypatch, tmp_path):
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    ran = workbench("--install-completion")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("workbench: Completion cannot be installed: ")
    assert f": {tmp_path / 'home'}" in ran.err
    assert ran.err.endswith("Print it with --show-completion, and put it where your shell reads it.\n")


def test_completion_is_installed_for_the_shell_one_is_in(workbench, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    assert workbench("--install-completion").code == 0
    assert "_workbench_completion" in (tmp_path / ".bash_completions" / "workbench.sh").read_text()
