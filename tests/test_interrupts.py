"""Ctrl-C: one sentence and exit code 2 at any moment, nothing half imported, and no record of what was cut off."""

import os
import signal
import subprocess
import sys
import time

import pytest

from workbench import interrupts, store, sweep

WAITS = """
import sys, time
from workbench import interrupts
sys.path.insert(0, sys.argv[1])
interrupts.watch()
try:
    import interrupted
    time.sleep(10)
except KeyboardInterrupt:
    print(interrupted.whole)
"""


def test_an_interrupt_waits_until_an_import_is_through(python, tmp_path):
    body = "import os, signal; os.kill(os.getpid(), signal.SIGINT)\nwhole = True\n"
    (tmp_path / "interrupted.py").write_text(body)
    ran = python(WAITS, tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, "True\n", "")


def test_an_interrupt_that_a_destructor_would_swallow_is_raised_after_it(python):
    script = (
        "import os, signal, time; from workbench import interrupts\n"
        "class Dying:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGINT); time.sleep(0)\n"
        "interrupts.watch()\n"
        "try:\n"
        "    Dying(); time.sleep(10)\n"
        "except KeyboardInterrupt: print('raised')\n"
    )
    assert python(script) == type(python("pass"))(0, "raised\n", "")


def test_an_interrupt_that_became_another_error_leaves_no_record(request_for, make_record, tmp_path, monkeypatch):
    def swallow(request):
        monkeypatch.setattr(interrupts, "_asked", True)
        return make_record(status="failed", reason="RuntimeError: an interrupt, once")

    asked = [request_for("esc-x4"), request_for("esc-x2")]
    with store.Writer(tmp_path) as writer, pytest.raises(KeyboardInterrupt):
        list(sweep.run(asked, writer, swallow, store.read(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_the_exit_code_is_ours_even_if_a_string_was_being_run(root, tmp_path):
    (tmp_path / "late.py").write_text(
        "from workbench import __main__, cli\ncli.main = lambda: exec('raise KeyboardInterrupt')\n__main__.main()\n"
    )
    command = [sys.executable, "-m", "late"]
    paths = f"{root}:{tmp_path}"
    ran = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"workbench: {interrupts.TOLD}\n")


STARTED = """
from workbench import __main__, interrupts
watch = interrupts.watch
def told(): watch(); print("watching", flush=True)
interrupts.watch = told
__main__.main()
"""


def interrupted(root, folder, delay, *words):
    """`workbench measure`, sent Ctrl-C to its group so many seconds after Ctrl-C is watched for."""
    command = [sys.executable, "-c", f"import sys; sys.argv[0] = 'workbench'\n{STARTED}", "measure", *words]
    running = subprocess.Popen(
        [*command, "--records", str(folder)], cwd=root, text=True, stdout=-1, stderr=-1, start_new_session=True
    )
    assert running.stdout.readline() == "watching\n"
    time.sleep(delay)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    return running.returncode, out, [line for line in err.splitlines() if not line.startswith(("[", "measure: "))]


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.5])
def test_ctrl_c_has_one_sentence_while_torch_is_imported_and_before(root, tmp_path, delay):
    assert interrupted(root, tmp_path, delay, "*") == (2, "", [f"workbench: {interrupts.TOLD}"])
    assert {r.status for r in store.read(tmp_path).records} <= {"ok"}


def test_ctrl_c_is_not_heard_by_the_process_of_a_measurement(root, tmp_path):
    assert interrupted(root, tmp_path, 0.7, "*", "--apart") == (2, "", [f"workbench: {interrupts.TOLD}"])
    assert {r.status for r in store.read(tmp_path).records} <= {"ok"}


def test_a_command_that_has_ended_is_not_interrupted_any_more(python):
    script = (
        "import os, signal; from workbench import cli, interrupts\n"
        "import workbench.__main__ as command\n"
        "cli.main = lambda: None\n"
        "command.main(); os.kill(os.getpid(), signal.SIGINT); print('ended by itself')\n"
    )
    assert python(script).out == "ended by itself\n"
