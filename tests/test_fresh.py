"""Fresh processes: where they come from, what they are told and tell, and how they end."""

import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workbench import execute, fresh
from workbench.locks import Lock


def inside(*words):
    """What a fresh process sees of itself."""
    import torch

    return {
        "words": words,
        "pid": os.getpid(),
        "server": os.getppid(),
        "cuda": torch.cuda.is_initialized(),
        "threads": len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 2,
        "interrupts": signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "workbench": sys.modules["workbench"].__file__,
    }


def test_each_is_new_and_they_share_a_server_that_has_imported_and_done_nothing():
    one, other = (fresh.call(inside, word, imports=execute.imports()) for word in ("one", "other"))
    assert (one["words"], other["words"]) == (["one"], ["other"])
    assert len({one["pid"], other["pid"], os.getpid(), one["server"]}) == 4
    assert one["server"] == other["server"]
    assert (one["cuda"], one["threads"]) == (False, 2)  # itself, and who watches the parent
    assert one["interrupts"]  # Ctrl-C is the parent's to answer
    assert one["workbench"] == fresh.sys.modules["workbench"].__file__


def test_interrupts_reach_the_parent_as_before():
    fresh.call(operator.add, 1, 2)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert "PYTHONSAFEPATH" not in os.environ


def test_the_server_imports_from_where_we_do_and_not_from_where_we_stand(root, tmp_path):
    (tmp_path / "workbench").mkdir()
    (tmp_path / "workbench" / "__init__.py").write_text("raise SystemExit('a stranger of this name')")
    script = f"import sys; sys.path[0] = {str(root)!r}; from workbench import fresh; print(fresh.call(abs, -1))"
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("1\n", "")


def test_a_script_that_asks_is_not_run_again(root, tmp_path):
    (tmp_path / "script.py").write_text("from workbench import fresh\nprint('run')\nprint(fresh.call(abs, -1))\n")
    command = [sys.executable, tmp_path / "script.py"]
    ran = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == ("run\n1\n", "")


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "import os; os._exit(3)"])
def test_no_answer_is_an_error_that_says_how_it_ended(code):
    with pytest.raises(fresh.NoAnswerError) as error:
        fresh.call(exec, code)
    assert (error.value.status, error.value.reason) == ("failed", "its process ended with exit code 3 and no result")


def test_garbage_on_standard_output_is_no_answer_and_does_not_reach_ours(capfd):
    code = "import os, sys; print('}{'); os.write(1, b'\\xff\\x00\\n'); sys.__stdout__.write('3')"
    assert fresh.call(exec, code) is None
    told = capfd.readouterr()
    assert told.out == ""
    assert "}{" in told.err


def test_without_a_standard_error_its_prints_are_lost(root):
    script = "from workbench import fresh; print(fresh.call(exec, 'print(1)'))"
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, script]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "None\n")


def test_a_server_that_was_killed_is_started_again():
    server = fresh.call(os.getppid)
    os.kill(server, signal.SIGKILL)
    for _ in range(100):
        if fresh.multiprocessing.forkserver._forkserver._forkserver_pid is None or not alive(server):
            break
        time.sleep(0.05)
    assert fresh.call(os.getppid) != server


LISTENS = """
import sys, time
def wait(swallow):
    try:
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        if not swallow:
            raise
        time.sleep(0.3)  # long enough for an echo
        return "heard once"
"""


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to-the-parent", "to-all"])
@pytest.mark.parametrize(("swallow", "out"), [(True, "heard once\n"), (False, "interrupted\n")])
def test_ctrl_c_is_heard_once_where_it_is_asked_for_and_what_is_returned_then_is_the_answer(
    root, tmp_path, send, swallow, out
):
    (tmp_path / "listens.py").write_text(LISTENS)
    script = (
        "import listens; from workbench import fresh\n"
        f"try: print(fresh.call(listens.wait, {swallow}, timeout=60, heard=True))\n"
        "except KeyboardInterrupt: print('interrupted')"
    )
    paths = os.environ | {"PYTHONPATH": f"{root}:{tmp_path}"}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, env=paths, stdout=-1, stderr=-1, text=True, start_new_session=True) as parent:
        assert parent.stderr
        assert parent.stderr.readline() == "ready\n"
        send(parent.pid, signal.SIGINT)
        assert parent.communicate(timeout=30) == (out, "")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_it_ends_with_its_parent(root):
    inner = "import os, sys, time; print(os.getpid(), file=sys.stderr, flush=True); time.sleep(60)"
    script = f"from workbench import fresh; fresh.call(exec, {inner!r})"
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stderr
        child = int(parent.stderr.readline())
        assert alive(child)
        parent.kill()
        for _ in range(100):
            if not alive(child):
                break
            time.sleep(0.05)
        assert not alive(child)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_lock_that_it_was_given_is_held_until_it_has_ended_though_its_parent_was_killed(root, tmp_path):
    """The process here is in C code that lets no thread of its own run, so that it does not see its parent's end."""
    inner = "import ctypes, os, sys; print(os.getpid(), file=sys.stderr, flush=True); ctypes.PyDLL(None).sleep(60)"
    script = (
        "import sys; from pathlib import Path; from workbench import fresh, locks\n"
        "lock = locks.Lock(Path(sys.argv[1])); lock.take()\n"
        f"fresh.call(exec, {inner!r}, held=[lock.file])"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stderr
        child = int(parent.stderr.readline())
        parent.kill()
        parent.wait()
        mine = Lock(tmp_path / "lock")
        assert not mine.take()
        os.kill(child, signal.SIGKILL)
        assert mine.take(wait=True)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("text", "kills"), [("oom_killer 3\noom_kill 12\n", 12), ("nr_free 1\n", None)])
def test_the_kernel_s_count_of_kills_is_read_where_it_is(monkeypatch, tmp_path, text, kills):
    monkeypatch.setattr(fresh, "VMSTAT", tmp_path / "vmstat")
    assert fresh._out_of_memory_kills() is None
    (tmp_path / "vmstat").write_text(text)
    assert fresh._out_of_memory_kills() == kills
