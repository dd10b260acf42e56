"""Clusters: which node is fit for what, what is refused; on a Ray of two nodes every request has one answer."""

import contextlib
import importlib.util
import itertools
import json
import logging
import os
import platform
import secrets
import socket
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import clustered
import pytest

from workbench import cluster, environment, execute, models, progress, store, testsets
from workbench.cluster import node, onray, places, reaching
from workbench.cluster.places import Node
from workbench.evaluate import Subject
from workbench.spec import Input, Source, UserError
from workbench.weights import Weights

SAME = node.versions()
A100, H100, PLAIN = "NVIDIA A100-SXM4-80GB + a cpu, 8 cores", "NVIDIA H100 80GB HBM3 + a cpu, 8 cores", "a cpu, 8 cores"


def a_node(name, machine=PLAIN, gpus=0, types="", versions=SAME, clock=0.0, lacks=()):
    return Node(name, name, machine, 8, gpus, types, versions, clock, lacks)


# --- which node is fit for what


@pytest.mark.parametrize(
    ("probe", "protocol", "gpus", "takes"),
    [
        ("params", "esc", True, "core"),
        ("macs", "esc", False, "core"),
        ("latency", "cpu", True, "node"),
        ("memory", "steady", True, "node"),
        ("latency", "esc", False, "gpu"),
        ("quality", "quality", False, "core"),
        ("quality", "quality", True, "gpu"),
    ],
)
def test_what_a_measurement_has_to_itself(request_for, probe, protocol, gpus, takes):
    assert places.takes(request_for("esc-x4", probe, protocol), gpus) == takes


def test_what_is_timed_is_bound_to_a_machine_and_what_is_counted_to_none(request_for):
    asked = [
        request_for("esc-x4", p, w) for p, w in (("macs", "esc"), ("latency", "steady+cuda+h100"), ("memory", "cpu"))
    ]
    nodes = [a_node("a", A100, 4), a_node("b", H100, 1), a_node("c"), a_node("d")]
    told = []
    bound = places.bind(asked, nodes, {}, told.append)
    assert [r.machine for r in bound] == [None, H100, PLAIN]  # two nodes are plain ones
    assert bound[2].conditions["machine"] == PLAIN
    assert told == [f"Timed on: {PLAIN}. These would do as well, and are not mixed in: {A100}; {H100}."]


def test_of_machines_that_would_do_that_is_taken_which_has_answered_most_then_which_has_most_places(
    request_for, make_record
):
    asked = [request_for(v, "latency", "steady+cuda") for v in ("esc-x2", "esc-x4")]
    nodes = [a_node("a", A100, 4), a_node("b", H100, 1), a_node("c")]
    assert {r.machine for r in places.bind(asked, nodes, {}, print)} == {A100}
    known = {replace(asked[1], machine=H100).identity: make_record("esc-x4", "latency")}
    assert {r.machine for r in places.bind(asked, nodes, known, print)} == {H100}
    failed = {i: replace(r, status="failed") for i, r in known.items()}
    assert {r.machine for r in places.bind(asked, nodes, failed, print)} == {A100}


def test_a_gpu_can_be_known_by_what_the_engine_calls_it(request_for):
    asked = [request_for("esc-x4", "latency", "steady+cuda+a100")]
    assert places.bind(asked, [a_node("a", PLAIN, 1, "A100")], {}, print)[0].machine == PLAIN


def test_a_gpu_that_no_node_has_is_refused_with_what_there_is(request_for):
    nodes = [a_node("a", A100, 4), a_node("b", A100, 4), a_node("c")]
    with pytest.raises(UserError) as error:
        places.bind([request_for("esc-x4", "latency", "steady+cuda+h100")], nodes, {}, print)
    assert str(error.value).startswith(
        "No node has the GPU h100, which 'steady+h100+cuda' names, for latency of esc-x4"
    )
    assert f"There are: {A100}; {PLAIN}. Add such a node." in str(error.value)
    with pytest.raises(UserError, match=r"No node has a GPU, for latency of esc-x4 .* or measure with \+cpu\."):
        places.bind([request_for("esc-x4", "latency", "esc")], nodes[2:], {}, print)


@pytest.mark.parametrize("what", ["code", "python", "torch"])
def test_a_node_with_another_version_is_refused_with_both(what):
    other = a_node("10.0.0.2", versions={**SAME, "workbench": "0.9", what: "0.1"})
    places.check([a_node("10.0.0.1")], print)
    with pytest.raises(UserError) as error:
        places.check([a_node("10.0.0.1"), other], print)
    there, here = "0.1", SAME[what]
    if what == "code":
        there, here = "0.1 (workbench 0.9)", f"{here} (workbench {SAME['workbench']})"
    assert f"The node 10.0.0.2 would measure something else: {what} {there} there and {here} here." in str(error.value)


def test_the_same_code_may_be_a_checkout_here_and_installed_there():
    places.check([a_node("a", versions={**SAME, "workbench": "0.1.0"})], pytest.fail)


def test_a_node_without_files_is_refused_and_a_clock_is_told():
    with pytest.raises(UserError, match=r"The node a lacks 2 of the files that are judged or judge, x\.pth the first"):
        places.check([a_node("a", lacks=("x.pth", "y.png"))], print)
    told = []
    places.check([a_node("a", clock=59.0), a_node("b", clock=-3600.0)], told.append)
    assert told == ["The clock of node b is 3600 s behind ours; records are dated by ours."]


def test_a_slow_answer_is_no_slow_clock():
    told = {**node.about(), "clock": 150.0}
    early, late = (places.node(told, asked, "a", "a", 1, 0) for asked in (100.0, time.time() + 50))
    assert early.clock == 0.0
    assert late.clock < -50


@pytest.mark.parametrize(
    ("off", "adopted", "ours"), [(-30, False, False), (-90, False, True), (-90, True, False), (90, True, True)]
)
def test_a_record_is_dated_by_our_clock_where_the_node_s_is_off(off, adopted, ours):
    then = (datetime.now(UTC) + timedelta(seconds=off)).isoformat()
    found = places.dated({"recorded_at": then, "details": {"a": 1}}, adopted)
    assert (found["recorded_at"] != then) is ours
    assert found["details"] == ({"a": 1, "clock": then} if ours else {"a": 1})
    if ours:
        assert abs(datetime.fromisoformat(found["recorded_at"]) - datetime.now(UTC)) < timedelta(seconds=30)


# --- what a node does


def test_a_node_gives_back_a_record_as_plain_data(request_for, monkeypatch, capsys):
    monkeypatch.setattr(
        execute, "measure_apart", lambda asked, timeout: execute._record(asked, execute.Outcome("ok", None, (timeout,)))
    )
    request = request_for()
    assert store.parse(node.work(node.job(request, 5.0))).values == (5.0,)
    assert store.parse(node.work(node.job(request, None))).values == (execute.PATIENCE,)
    begun, ended = capsys.readouterr().err.splitlines()[:2]  # which --logs shows
    assert (begun, ended) == (f"{request}: begun on {platform.node()}", f"{request}: ok after 0.0 s")


def test_a_request_comes_to_a_node_as_json_and_is_the_same_there(request_for, tmp_path):
    weights = Weights("w", ("esc-x4",), "DF2K", "0" * 64, "w.pth", tmp_path / "w.pth", (0.0, 1.0))
    image = testsets.Image("a", tmp_path / "a.png", "1" * 64, "2" * 64, 4, 6, (7, 8))
    judged = testsets.TestSet("s", "S", (image,), ("b",), "partial", "one is missing", tmp_path)
    size = replace(request_for().protocol, input=Input(hr=(724, 1280)))  # of no name
    for request in (
        request_for(),
        replace(request_for("esc-x4", "latency", "steady+cuda+h100"), machine=H100),
        replace(request_for(), protocol=size),
        replace(request_for("esc-x4", "quality", "quality+set:own"), subject=Subject(weights, judged, tmp_path)),
    ):
        sent = json.loads(json.dumps(node.job(request, None)))
        assert node.read(sent["request"]) == request


def test_a_node_refuses_what_it_would_measure_otherwise(request_for, tmp_path, monkeypatch):
    job = node.job(request_for(), None)
    other = {**job, "request": "no request", "versions": {**SAME, "torch": "1.0"}}  # nor is it read
    told = json.loads(node.work(other))
    assert told == {"refused": f"it came to a node with torch {SAME['torch']} there and 1.0 here"}
    away = replace(request_for("esc-x4", "latency", "cpu"), machine=A100)
    assert "another machine" in json.loads(node.work(node.job(away, None)))["refused"]
    images = SimpleNamespace(path=tmp_path / "gone.pth"), SimpleNamespace(images=(SimpleNamespace(path=tmp_path),))
    judged = replace(request_for("esc-x4", "quality", "quality"), subject=None)
    object.__setattr__(judged, "subject", SimpleNamespace(weights=images[0], images=images[1]))
    assert node.about(node.files(judged))["lacks"] == [str(tmp_path / "gone.pth")]


# --- what is refused before anything is begun


def opened(on, wanted, folder, **changes):
    with cluster.opened(on, wanted, {}, print, folder, None, False, print) as there:
        return there


def test_what_is_not_installed_is_told(request_for, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "submitit", None)
    for on, name in (("ray", "Ray"), ("ray://here:1", "Ray"), ("slurm", "submitit")):
        with pytest.raises(
            UserError, match=rf"needs {name}, which this Python .* does not have\. Install it: pip install"
        ):
            opened(on, [request_for()], tmp_path)


def test_a_network_of_one_s_own_stays_here(request_for, tmp_path):
    own = replace(models.find("esc-x4"), source=Source("./net.py:Net", "."))
    with pytest.raises(UserError, match=r"\./net\.py:Net is not of the catalogue, so no node has its code"):
        opened("ray", [replace(request_for(), variant=own)], tmp_path)


def test_a_store_that_takes_nothing_is_told_before_anybody_waits(request_for, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"Cannot write a record to .*file: "):
        opened("ray", [request_for()], tmp_path / "file")


@pytest.mark.parametrize("on", ["local", "slurm"])
def test_what_ray_s_nodes_print_cannot_be_shown_of_others(request_for, tmp_path, on):
    with pytest.raises(UserError, match=rf"--logs shows what Ray's nodes print, and this is --on {on}; add --on ray"):
        cluster.opened(on, [request_for()], {}, print, tmp_path, None, True, print).__enter__()


@pytest.mark.parametrize(
    ("on", "told"),
    [
        ("ray://10.0.0.1", r"names no port\. .*: --on ray://10\.0\.0\.1:10001\."),
        ("ray://[::1]", r"names no port\. .*: --on ray://\[::1\]:10001\."),
        ("ray://:10001", "is no HOST:PORT of a Ray"),
        ("ray://here:ray", "is no HOST:PORT of a Ray"),
        ("ray://here:70000", "is no HOST:PORT of a Ray"),
    ],
)
def test_an_address_has_a_machine_and_a_port(on, told):
    with pytest.raises(UserError, match=told):
        cluster.kind(on)


@pytest.fixture
def closed():
    """A port of this machine at which nothing listens; it is ours, so that nothing will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def no_address(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_where_nothing_listens_is_told_at_once(closed, monkeypatch, no_address):
    with pytest.raises(UserError, match=rf"No Ray listens where --on ray://{closed} says: Connection refused\."):
        reaching.look(closed)
    for named in (closed, f"ray://{closed}"):
        monkeypatch.setenv("RAY_ADDRESS", named)
        with pytest.raises(UserError, match=rf"No Ray listens where RAY_ADDRESS={named} says: Connection refused\."):
            reaching.look(None)


def test_where_something_listens_it_is_left_to_ray(monkeypatch, no_address):
    assert reaching.look(None) == "this machine"
    with socket.create_server(("127.0.0.1", 0)) as there:
        address = f"127.0.0.1:{there.getsockname()[1]}"
        assert reaching.look(address) == f"ray://{address}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert reaching.look(None) == f"RAY_ADDRESS={address}"


def test_what_a_killed_ray_has_left_is_not_asked(closed, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert not reaching.left_behind()
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(closed)
    assert reaching.left_behind()


class Absent:
    """A Ray that finds no cluster, or one of another version."""

    def __init__(self, error):
        self.error = error

    def init(self, *where, **how):
        raise self.error

    def shutdown(self):
        pass


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionError("ray client connection timeout"), "something listens there, but not as Ray's client server"),
        (
            RuntimeError("Version mismatch: The cluster was started with:\n Ray: 2.9\n Python: 3.10"),
            "Version mismatch: The cluster was started with: Ray: 2.9 Python: 3.10. Install the same Ray and Python",
        ),
        (
            ConnectionError(
                'Initialization failure:\nTraceback (most recent call last):\n  File "a.py", line 1, in there\n'
                "    raise RuntimeError(\nRuntimeError: Starting failed."
            ),
            "Initialization failure: RuntimeError: Starting failed. It may be too busy",
        ),
    ],
)
def test_a_cluster_that_cannot_be_had_is_told_in_one_line(request_for, tmp_path, monkeypatch, error, told):
    monkeypatch.setattr(onray, "_imported", lambda: Absent(error))
    monkeypatch.setattr(reaching, "look", lambda address: f"ray://{address}")
    with pytest.raises(UserError) as refused:
        opened("ray://10.0.0.1:10001", [request_for()], tmp_path)
    assert str(refused.value).startswith(f"No Ray cluster could be had at ray://10.0.0.1:10001: {told}")
    assert "\n" not in str(refused.value)


def test_a_head_that_lost_what_it_had_begun_is_asked_once_more(monkeypatch):
    errors, told = [ConnectionAbortedError(f"there: {reaching.UNBORN}."), None], []

    def init(*where, **how):
        if error := errors.pop(0):
            raise error
        return SimpleNamespace(dashboard_url="10.0.0.1:8265")

    monkeypatch.setattr(onray, "_imported", lambda: SimpleNamespace(init=init, shutdown=lambda: None))
    monkeypatch.setattr(reaching, "look", lambda address: address)
    with onray.OnRay("10.0.0.1:10001", None, False, told.append):
        assert errors == []
    assert told == [
        "Connecting to the Ray at 10.0.0.1:10001; that may take half a minute.",
        "The head node lost what it had begun for us, and is asked once more.",
        "Ray's dashboard: http://10.0.0.1:8265",
    ]


def test_what_ray_s_client_says_to_nobody_is_told():
    log = logging.getLogger("ray.util.client.worker")
    before = log.level, log.propagate, len(log.handlers)
    with reaching.Overheard() as overheard:
        log.debug("Pinging server.")
        log.debug("Received when checking init: Invalid or missing authentication token")
    assert (log.level, log.propagate, len(log.handlers)) == before
    told = str(reaching.refused("there", ConnectionError("ray client connection timeout"), overheard.reason))
    assert "it takes a token, and there is none here, or another. Set RAY_AUTH_MODE=token here, and RAY_AUTH" in told


class Lost:
    """A Ray whose nodes offer no core, and which is gone when it is waited for."""

    def __init__(self):
        self.remote = lambda work: None

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 0.5}}, {"Alive": False, "Resources": {"CPU": 4.0}}]

    def wait(self, references, timeout):
        raise ConnectionError("Client is shutting down.")


@pytest.fixture
def lost(monkeypatch):
    monkeypatch.setattr(onray, "_imported", Lost)
    return onray.OnRay(None, None, False, pytest.fail)


def test_a_cluster_without_a_core_is_refused(lost):
    with pytest.raises(UserError, match="No node of the Ray cluster offers a core"):
        lost.roll([], [])


def test_a_cluster_that_is_lost_is_told_and_nothing_has_failed_by_it(lost, request_for):
    lost._flying = {"a reference": (request_for(), None)}
    with pytest.raises(UserError, match=r"lost \(Client is shutting down\), with 1 measurement .*the same command"):
        lost.take()


class RpcError(Exception):
    """As grpc raises it: what it says is the whole state of a call."""

    __module__ = "grpc._channel"

    def details(self):
        return "Failed to serialize response!"


def raising_this(error):
    def raised(*asked, **how):
        raise error

    return raised


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RpcError("<_InactiveRpcError of RPC that terminated with:\n>"), "Failed to serialize response!"),
        (ConnectionError('Gone: <_Rendezvous\n\tdetails = "cleaned up"\n>'), "cleaned up"),
        (type("RaySystemError", (Exception,), {"__module__": "ray.exceptions"})(), "RaySystemError"),
    ],
)
def test_whatever_ray_and_grpc_raise_is_a_lost_cluster(lost, request_for, monkeypatch, error, told):
    lost._flying = {"a reference": (request_for(), None)}
    monkeypatch.setattr(lost._ray, "wait", raising_this(error), raising=False)
    with pytest.raises(UserError, match=rf"^The Ray cluster is lost \({told}\), with 1 measurement that"):
        lost.take()
    monkeypatch.setattr(lost._ray, "wait", raising_this(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):  # a defect of ours stays one
        lost.take()


class Dying:
    """A Ray on which each measurement is lost, and that has a node for so many looks."""

    class exceptions:  # noqa: N801
        RayError = type("RayError", (Exception,), {"__module__": "ray.exceptions"})
        RayTaskError = type("RayTaskError", (RayError,), {})
        OutOfMemoryError = type("OutOfMemoryError", (RayError,), {})
        NodeDiedError = type("NodeDiedError", (RayError,), {})
        TaskUnschedulableError = type("TaskUnschedulableError", (RayError,), {})

    def __init__(self, error, looks):
        self.error, self.looks, self.begun = self.exceptions.__dict__[error], looks, list[float]()

    def nodes(self):
        self.looks -= 1
        return [{"Alive": self.looks >= 0, "NodeID": "a", "Resources": {"CPU": 1.0}}]

    def remote(self, work):
        return self

    def options(self, **how):
        assert how["max_retries"] == 0  # Ray's own come at once
        return SimpleNamespace(remote=lambda job: self.begun.append(time.monotonic()) or len(self.begun))

    def wait(self, references, timeout):
        return references, []

    def get(self, reference):
        raise self.error


@pytest.mark.parametrize("error", ["RayError", "OutOfMemoryError"])
def test_what_is_lost_waits_longer_each_time_before_it_is_begun_again(request_for, monkeypatch, error):
    ray = Dying(error, 99)
    monkeypatch.setattr(onray, "_imported", lambda: ray)
    monkeypatch.setattr(onray, "PAUSE", 0.05)
    engine = onray.OnRay(None, None, False, pytest.fail)
    engine.give(request_for())
    _, record = engine.take()
    assert record.status == ("out-of-memory" if error == "OutOfMemoryError" else "failed")
    assert [b - a >= 0.05 * 2**n for n, (a, b) in enumerate(itertools.pairwise(ray.begun))] == [True] * 3


@pytest.mark.parametrize(("looks", "begun"), [(0, 1), (1, 2)])
def test_where_no_node_is_left_the_cluster_is_lost_and_nothing_failed(request_for, monkeypatch, looks, begun):
    ray = Dying("RayError", looks)
    monkeypatch.setattr(onray, "_imported", lambda: ray)
    monkeypatch.setattr(onray, "PAUSE", 0.01)
    engine = onray.OnRay(None, None, False, pytest.fail)
    engine.give(request_for())
    with pytest.raises(UserError, match=r"lost \(none of its nodes is alive\), with 1 measurement that"):
        engine.take()
    assert len(ray.begun) == begun


def test_what_no_node_will_answer_is_not_waited_for(request_for, monkeypatch):
    ray = Dying("RayError", 0)
    monkeypatch.setattr(ray, "wait", lambda references, timeout: ([], references))
    monkeypatch.setattr(onray, "_imported", lambda: ray)
    monkeypatch.setattr(onray, "PAUSE", 0.0)
    engine = onray.OnRay(None, None, False, pytest.fail)
    engine.give(request_for())
    with pytest.raises(UserError, match=r"lost \(none of its nodes is alive\), with 1 measurement that"):
        engine.take()


# --- a Ray of two nodes


@pytest.fixture(scope="module")
def two(root, tmp_path_factory):
    """Two nodes of this machine; the second says that it has a GPU, which nothing looks for."""
    if not importlib.util.find_spec("ray"):  # it is imported when it is known how to
        pytest.skip("the extra `cluster` is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else one is written into a user's folder
        patch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "tests")]))
        patch.setenv(clustered.PLACE, str(tmp_path_factory.mktemp("meet")))
        from ray.cluster_utils import Cluster

        found = Cluster()
        try:
            found.add_node(num_cpus=1, include_dashboard=False)
            found.add_node(num_cpus=2, num_gpus=1, resources={"accelerator_type:A100": 1})
        except Exception as error:  # Ray gives its processes 30 seconds to start, whatever else the machine does
            found.shutdown()
            pytest.skip(f"no Ray of two nodes would start here: {error}")
        patch.setenv("RAY_ADDRESS", found.address)
        yield found
        found.shutdown()


@pytest.fixture
def meet(two):
    """The folder where this test and the nodes meet."""
    folder = Path(os.environ[clustered.PLACE])
    yield folder
    for path in folder.iterdir():
        path.unlink()


@pytest.fixture(scope="module")
def engine(two):
    """One connection, because for each Ray starts processes anew."""
    with onray.OnRay(None, None, False, lambda told: None) as found:
        yield found


@pytest.fixture
def swept(engine, tmp_path, monkeypatch):
    """What comes of a sweep of requests over both nodes, by some work in place of a measurement."""

    monkeypatch.setattr(onray, "PAUSE", 0.5)

    def sweep(wanted, work, during=lambda done: None):
        engine._work = work
        nodes = engine.nodes or engine.roll(wanted, [])
        places.check(nodes, pytest.fail)
        contents = store.read(tmp_path)
        bound = places.bind(wanted, nodes, contents.newest(), print)
        todo = execute.missing(bound, contents.newest())
        found = []
        for done in progress.each(todo, tmp_path, engine, contents, hands=engine.hands(todo)):
            found.append(done)
            during(done)
        return found

    return sweep


def test_each_is_measured_once_and_what_is_timed_has_its_place_to_itself(swept, request_for, tmp_path):
    wanted = [request_for(v) for v in list(models.VARIANTS)[:30]]
    wanted += [request_for(v, "latency", "cpu") for v in ("esc-x2", "esc-x3", "esc-x4")]
    wanted += [request_for(v, "latency", "steady+cuda+a100") for v in ("esc-x2", "esc-x4")]
    done = swept(wanted, clustered.answer)
    assert len(done) == len(wanted)
    assert {d.record.status for d in done} == {"ok"}
    stored = store.read(tmp_path).records
    assert len({(r.variant, r.probe, r.protocol) for r in stored}) == len(stored) == len(wanted)
    spans = [(r, r.details["node"], r.details["from"], r.details["to"]) for r in stored]
    assert len({where for _, where, _, _ in spans}) == 2
    for record, where, start, end in spans:
        others = [s for s in spans if s[0] is not record and s[1] == where and s[2] < end and start < s[3]]
        if record.probe == "latency" and record.protocol == "cpu":
            assert others == []
        if record.probe == "latency" and record.protocol != "cpu":
            assert record.details["gpus"] == "0"
            assert "0" not in [o[0].details["gpus"] for o in others]
    assert swept(wanted, clustered.raising) == []  # nothing is missing


def test_what_dies_is_begun_again_and_at_last_has_failed(swept, request_for, meet, monkeypatch):
    monkeypatch.setattr(onray, "RETRIES", 1)
    (meet / "once").touch()
    (done,) = swept([request_for("esc-x2")], clustered.dying)
    assert done.record.status == "ok"
    (meet / "died").unlink()
    (done,) = swept([request_for("esc-x4", "latency", "cpu")], clustered.dying)
    assert done.record.status == "failed"
    assert done.record.reason == "lost with its node or its process, begun 2 times: WorkerCrashedError"
    assert done.record.conditions["machine"] == done.record.machine == environment.machine()


def test_what_a_node_raises_is_a_failure_with_its_traceback(swept, request_for):
    (done,) = swept([request_for("esc-x2", "macs")], clustered.raising)
    assert (done.record.status, done.record.reason) == ("failed", "of the probe's own")
    assert "in raising" in done.record.details["traceback"]


def test_a_measurement_on_a_node_by_the_command_line_is_what_it_is_here(engine, workbench, tmp_path, monkeypatch):
    monkeypatch.setattr(onray, "OnRay", lambda *how: contextlib.nullcontext(engine))
    engine._work = node.work
    words = "measure", "imdn-x4", "--probe", "params", "--records", tmp_path
    ran = workbench(*words, "--on", "ray")
    assert ran.code == 0, ran.err
    assert ran.err.endswith("1 asked, 1 measured, 0 already known.\n")
    assert workbench(*words).err == "1 asked, 0 measured, 1 already known.\n"
    (record,) = store.read(tmp_path).records
    assert record.values == execute.measure(execute.requests(["imdn-x4"], ["params"], ["esc"])[0]).values


def test_a_node_that_vanishes_is_done_without(two, engine, swept, request_for, meet):
    wanted = [request_for("esc-x4", "latency", "cpu"), *(request_for(v, "macs") for v in models.VARIANTS)]
    third = two.add_node(num_cpus=1)  # neither the driver's own nor that of the cluster's state
    engine.roll(wanted, [])
    engine.nodes.sort(key=lambda n: n.key != third.node_id)
    gone = []

    def during(done):
        begun = meet / "begun"
        if not gone and begun.exists() and begun.read_text():
            gone.append(begun.read_text())
            assert gone == [third.node_id]
            two.remove_node(third, allow_graceful=False)

    done = swept(wanted, clustered.slow, during)
    assert gone
    assert third.node_id not in [n.key for n in engine.nodes]
    assert Counter(d.record.status for d in done) == {"ok": len(wanted)}
