"""Slurm: one job for each measurement, whatever is killed, refused or away; by scripts that speak as Slurm does."""

import json
import os
import subprocess
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import slurming

from workbench import cluster, environment, execute, models, progress, store
from workbench.cluster import arrays, node, onslurm, queue, submitting
from workbench.spec import UserError


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A Slurm; each time the engine would sleep, its nodes do what `nodes` says."""
    pytest.importorskip("submitit", reason="the extra `cluster` is not installed")
    (tmp_path / "slurm").mkdir()
    found = slurming.Slurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", found.path)
    for name in [n for n in os.environ if n.startswith(("SBATCH_", "SLURM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_JOB_PARTITION", "debug")
    monkeypatch.setattr(
        execute, "measure_apart", lambda asked, timeout: execute._record(asked, execute.Outcome("ok", None, (1,)))
    )
    for name in ("PAUSE", "LOOK", "LATE"):
        monkeypatch.setattr(onslurm, name, 0.0)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        assert len(slept) < 60, "the engine waits for what does not come"
        found.nodes()

    monkeypatch.setattr(onslurm, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic, time=time.time))
    found.home, found.told, found.nodes = tmp_path / "records", [], lambda: measure(found)
    return found


def folder(slurm):
    return arrays.folder(slurm.home)


def measure(slurm, most=1000):
    """Nodes do what is asked of the jobs that have not ended, in this process; at the end a pickle of submitit's."""
    for place in list(arrays.found(folder(slurm)))[:most]:
        goes_on = [n for a, n, state, _ in slurm.jobs() if a == place.folder.name and state in ("PENDING", "RUNNING")]
        number = next((n for n in goes_on if int(n.partition("_")[2] or 0) == place.number), None)
        if number and not place.answer.exists():
            arrays.work(str(place.asked), str(place.answer))
            (place.folder / f"{number}_0_result.pkl").touch()
            slurm.becomes("COMPLETED", only=number)


def sweep(slurm, wanted, partition=None):
    """What comes of requests, as a command has it."""
    with onslurm.OnSlurm(partition, slurm.home, None, slurm.told.append) as engine:
        contents = store.read(slurm.home)
        todo = execute.missing(wanted, contents.newest())
        return list(progress.each(todo, slurm.home, engine, contents))


def give_up(slurm, wanted):
    """As a command that is killed when it has submitted what was asked."""
    engine = onslurm.OnSlurm(None, slurm.home, None, slurm.told.append).__enter__()
    for request in wanted:
        engine.give(request)
    engine._submit()


@pytest.fixture
def wanted(request_for):
    return [request_for(v) for v in ("esc-x2", "esc-x3", "esc-x4")]


def test_an_array_has_a_job_for_each_and_nothing_is_left_behind(slurm, wanted):
    done = sweep(slurm, wanted)
    assert [d.record.status for d in done] == ["ok"] * 3
    assert slurm.asked() == [3]
    assert [p.suffix for p in slurm.home.iterdir()] == [".jsonl"]
    assert slurm.told == []
    assert sweep(slurm, wanted) == []


def test_what_a_job_has_to_itself_and_for_how_long(slurm, request_for):
    sweep(slurm, [request_for()])
    assert "#SBATCH --time=40" in slurm.script()  # half an hour of patience, and ten minutes of grace
    assert "srun" not in slurm.script()
    assert "exclusive" not in slurm.script()
    sweep(slurm, [request_for("esc-x4", "latency", "cpu")])
    assert {"#SBATCH --exclusive", "#SBATCH --mem=0"} <= set(slurm.script().splitlines())
    sweep(slurm, [request_for("esc-x4", "latency", "steady+cuda+h100")], "gpu")
    lines = set(slurm.script().splitlines())
    assert {"#SBATCH --gres=gpu:h100:1", "#SBATCH --cpus-per-gpu=16", "#SBATCH --partition=gpu"} <= lines
    assert "#SBATCH --exclusive" not in lines


@pytest.mark.parametrize(
    ("partition", "device", "share"),
    [(None, None, 16), ("gpu", "h100", 16), ("gpu", "a100", None), ("none", None, None)],
)
def test_a_gpu_s_share_of_the_cores(slurm, partition, device, share):
    assert queue.share(partition, device) == share


def test_what_is_asked_and_answered_is_json_and_closed_to_others(slurm, wanted):
    give_up(slurm, wanted)
    (array,) = folder(slurm).iterdir()
    assert folder(slurm).stat().st_mode & 0o077 == 0
    asked = [json.loads(path.read_text())["request"] for path in sorted(array.glob("*.asked"))]
    assert [node.read(request) for request in asked] == wanted
    measure(slurm)
    assert store.parse((array / "0.answer").read_text()).variant == "esc-x2"


def test_jobs_of_a_killed_command_are_taken_over_and_none_is_submitted_twice(slurm, wanted):
    give_up(slurm, wanted)
    measure(slurm, 1)
    slurm.nodes = lambda: measure(slurm, 1)
    assert len(sweep(slurm, wanted)) == 3
    assert slurm.asked() == [3]
    assert [p.suffix for p in slurm.home.iterdir()] == [".jsonl"]


def test_an_answer_is_forgotten_only_when_it_has_been_stored(slurm, wanted):
    with onslurm.OnSlurm(None, slurm.home, None, slurm.told.append) as engine:
        for request in wanted:
            engine.give(request)
        engine.take()
        assert len(list(arrays.found(folder(slurm)))) == 3
        engine.take()
        assert len(list(arrays.found(folder(slurm)))) == 2
        engine.take()
    assert not folder(slurm).exists()


def test_what_lies_in_an_answer_s_place_is_a_failure(slurm, wanted):
    def foreign():
        for place in arrays.found(folder(slurm)):
            place.answer.write_text(next(answers))

    answers = iter(["[]", "{}", "torn"])
    slurm.nodes = foreign
    reasons = [d.record.reason for d in sweep(slurm, wanted)]
    assert all("its answer" in reason for reason in reasons)


def test_folders_that_nobody_needs_are_buried_in_their_time(slurm, wanted, monkeypatch):
    give_up(slurm, wanted[:1])
    (array,) = folder(slurm).iterdir()
    alive = {(array.name, 0): queue.Standing("1", "PENDING", "")}
    for standing, kept, left in ((None, 0, True), (alive, 0, True), ({}, 3600, True), ({}, 0, False)):
        monkeypatch.setattr(arrays, "KEPT", kept)
        arrays.bury(folder(slurm), standing)
        assert array.exists() is left


def test_of_a_killed_command_s_jobs_those_that_ended_without_an_answer_are_submitted_again(slurm, wanted):
    give_up(slurm, wanted)
    slurm.becomes("NODE_FAIL", only="1_1")
    assert {d.record.status for d in sweep(slurm, wanted)} == {"ok"}
    assert slurm.asked() == [3, 1]


def test_jobs_that_other_code_asked_for_are_not_taken_over(slurm, wanted, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(node, "versions", lambda: {"torch": "0.1"})
        give_up(slurm, wanted)
    sweep(slurm, wanted)
    assert slurm.asked() == [3, 3]


def test_an_interrupted_command_says_what_it_leaves_and_how_that_is_ended(slurm, wanted):
    def interrupt():
        raise KeyboardInterrupt

    slurm.nodes = interrupt
    with pytest.raises(KeyboardInterrupt):
        sweep(slurm, wanted)
    assert slurm.told == ["3 jobs are left to Slurm; the same command takes them over, and this ends them: scancel 1"]
    assert len(list(folder(slurm).glob("*/*.asked"))) == 3


@pytest.mark.parametrize(
    ("state", "log", "status", "reason"),
    [
        ("CANCELLED", "slurmstepd: error: *** JOB 1 ON n1 CANCELLED AT 2026 ***", "failed", "job 1 ended as CANCELLED"),
        ("TIMEOUT", "", "timeout", "job 1 ended as TIMEOUT without an answer"),
        ("OUT_OF_MEMORY", "", "out-of-memory", "job 1 ended as OUT_OF_MEMORY without an answer; jobs with more memory"),
        (
            "FAILED",
            "slurmstepd-n1: error: Exceeded job memory limit",
            "out-of-memory",
            "Exceeded job memory limit; jobs",
        ),
        ("", "", "failed", "Slurm knows nothing any more of job 0 of wb-core-"),
    ],
)
def test_how_a_job_ended_that_gave_no_answer(slurm, wanted, state, log, status, reason):
    def ended():
        for array in folder(slurm).iterdir():
            (array / "1_0_log.err").write_text(log)
        slurm.becomes(state) if state else (slurm.at / "jobs").write_text("")

    slurm.nodes = ended
    (done,) = sweep(slurm, wanted[:1])
    assert done.record.status == status
    assert reason in done.record.reason
    assert done.record.details.get("log", []) == log.splitlines()


def test_what_a_node_raises_is_a_failure_with_its_traceback(slurm, wanted, monkeypatch):
    monkeypatch.setattr(execute, "measure_apart", lambda asked, timeout: 1 / 0)
    (done,) = sweep(slurm, wanted[:1])
    assert (done.record.status, done.record.reason) == ("failed", "ZeroDivisionError: division by zero")
    assert "in work" in done.record.details["traceback"]


def test_jobs_that_leave_nothing_at_all_end_the_sweep(slurm, wanted):
    slurm.nodes = lambda: slurm.becomes("FAILED")
    with pytest.raises(UserError, match=r"no job has left anything in .*wb-core-.*\. Do the nodes see and write it\?"):
        sweep(slurm, wanted)


# --- what Slurm does not take


@pytest.mark.parametrize("why", ["account", "gres"])
def test_what_sbatch_refuses_is_told_in_its_words(slurm, wanted, why):
    slurm.refuses(why)
    sentence = slurming.REFUSALS[why].strip().removeprefix("sbatch: error: ")
    with pytest.raises(UserError) as told:
        sweep(slurm, wanted)
    assert str(told.value).startswith(f"sbatch refused the jobs: {sentence}. Name another partition")
    assert list(slurm.home.glob(".slurm*/*")) == []


def test_arrays_are_as_large_as_slurm_says_and_smaller_where_it_refuses(slurm, request_for):
    wanted = [request_for(v) for v in list(models.VARIANTS)[:9]]
    (slurm.at / "largest").write_text("4\n")
    assert len(sweep(slurm, wanted)) == 9
    assert slurm.asked() == [4, 4, 1]
    (slurm.at / "asked").unlink()
    slurm.refuses("array", beyond=3)
    assert len(sweep(slurm, [replace(r, probe=request_for("esc-x4", "macs").probe) for r in wanted])) == 9
    assert slurm.asked() == [4, 2, 4, 2, 4, 2, 3]


def test_a_limit_of_jobs_is_waited_for(slurm, wanted):
    slurm.refuses("limit")

    def nodes():
        if len(slurm.asked()) > 4 and (slurm.at / "refuse").exists():
            slurm.takes()
        measure(slurm)

    slurm.nodes = nodes
    assert len(sweep(slurm, wanted)) == 3
    (told,) = slurm.told
    assert told.startswith(
        "Slurm takes no more jobs for now (AssocMaxSubmitJobLimit; Batch job submission failed: Job "
    )


def test_a_controller_that_is_away_is_waited_for(slurm, wanted):
    away = slurm.at / "away"
    steps = iter(
        [
            lambda: away.write_text("slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"),
            lambda: slurm.refuses("away"),
            lambda: away.unlink(),
            lambda: slurm.takes(),
        ]
    )
    slurm.nodes = lambda: next(steps, lambda: measure(slurm))()
    assert {d.record.status for d in sweep(slurm, wanted)} == {"ok"}
    (told,) = slurm.told
    assert told.startswith("Slurm does not answer (slurm_load_jobs error: Unable to contact slurm controller")


def test_why_slurm_has_jobs_wait_is_told_once(slurm, wanted):
    steps = iter([lambda: slurm.becomes("PENDING", "PartitionTimeLimit")] * 3)
    slurm.nodes = lambda: next(steps, lambda: measure(slurm))()
    sweep(slurm, wanted)
    told = "Slurm has 3 of the jobs wait and says why: PartitionTimeLimit (each may take 40 minutes; less: --timeout)"
    assert slurm.told == [told]


# --- what is timed


def test_a_job_says_what_its_node_is(slurm, request_for):
    asked = [request_for("esc-x4", "latency", "cpu"), request_for()]
    with onslurm.OnSlurm(None, slurm.home, None, slurm.told.append) as engine:
        (there,) = engine.roll(asked, [])
        assert (there.machine, there.versions) == (environment.machine(), node.versions())
        assert engine.roll(asked[1:], []) == []
    assert not folder(slurm).exists()


def test_a_partition_that_shares_nodes_whatever_is_asked_times_nothing(slurm, request_for):
    (slurm.at / "oversubscribe").write_text("FORCE:2\n")
    with (
        onslurm.OnSlurm("debug", slurm.home, None, slurm.told.append) as engine,
        pytest.raises(
            UserError, match=r"partition debug gives several .* \(OverSubscribe=FORCE:2\), so nothing can be"
        ),
    ):
        engine.roll([request_for("esc-x4", "latency", "cpu")], [])


def test_a_question_that_nobody_waits_for_is_taken_back(slurm, request_for):
    slurm.nodes = lambda: slurm.becomes("FAILED")
    with (
        onslurm.OnSlurm(None, slurm.home, None, slurm.told.append) as engine,
        pytest.raises(UserError, match=r"No node could say what it is: job 1 ended as FAILED without an answer\."),
    ):
        engine.roll([request_for("esc-x4", "latency", "cpu")], [])
    assert (slurm.at / "cancelled").read_text().strip().endswith(slurm.jobs()[0][0])


# --- the whole way, and what is refused before it


def test_the_script_that_sbatch_is_given_answers(slurm, root, request_for):
    """A process is begun, as on a node: nothing but files goes between it and us."""
    job = node.job(request_for(), None) | {"versions": node.versions() | {"torch": "0.1"}}
    (place,) = submitting.Sbatch(None, slurm.home, None).array("core", "core", None, [("0" * 32, job)])
    there = {**os.environ, "PYTHONPATH": str(root), "SLURM_JOB_ID": slurm.jobs()[0][1], "SLURM_NTASKS": "1"}
    subprocess.run(["bash", slurm.at / f"{place.folder.name}.sh"], env=there, check=True)
    assert place.told() == {"refused": f"it came to a node with torch {node.versions()['torch']} there and 0.1 here"}
    assert (place.folder / "1_0_result.pkl").exists()


def test_what_cannot_go_to_slurm_is_refused(slurm, request_for, tmp_path, monkeypatch):
    def told(where="slurm", records=slurm.home):
        with (
            pytest.raises(UserError) as error,
            cluster.opened(where, [request_for()], {}, print, records, 1, False, print),
        ):
            pass
        return str(error.value)

    assert told("slurm://nowhere") == "--on slurm://nowhere: Slurm has no such partition here. Known: debug, gpu."
    monkeypatch.setenv("SBATCH_PARTITION", "gpu")
    assert told("slurm://debug").endswith("while SBATCH_PARTITION is gpu, which sbatch would obey. Unset it.")
    monkeypatch.setenv("SBATCH_JOB_NAME", "x")
    assert "while SBATCH_JOB_NAME is set" in told()
    (slurm.at / "away").write_text("sinfo: error: Unable to contact slurm controller\n")
    monkeypatch.delenv("SBATCH_JOB_NAME")
    assert "--on slurm: Slurm does not answer: Unable to contact slurm controller. Try again" in told()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "--on slurm found no `sbatch` on this machine" in told()
    with pytest.raises(UserError, match=r"and s3://bucket/records is no folder that nodes see"):
        onslurm.OnSlurm(None, store.where("s3://bucket/records"), None, print)
