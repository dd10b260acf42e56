"""What Ray costs for each of 10,000 measurements that sleep, on two nodes here: python -m tests.bench.cluster."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench import environment, execute, models, progress, store
from workbench.cluster import node, onray, places
from workbench.execute import Outcome

MANY = 10_000
SLEEP = 0.01
PROBES = ("params", "macs", "activations", "planned-memory")


def simulated(job: Mapping[str, Any]) -> str:
    """In place of a measurement: sleep and return."""
    request = node.read(job["request"])
    time.sleep(SLEEP)
    return json.dumps(store.to_json(execute._record(request, Outcome("ok", None, (1,)), SLEEP)))


def asked(number: int) -> list[execute.Request]:
    """As many requests that differ: networks, probes, and outputs of one size after the other."""
    found = execute.requests(list(models.VARIANTS), PROBES, ["esc", "fvcore+ceil+sdpa", "torch+train+twice"])
    every, size = dict[str, execute.Request](), 0
    while len(every) < number:
        for request in found:
            way = request.protocol
            given = replace(way.input, hr=(720 + size, 1280))
            at = execute.Request(request.variant, replace(way, input=given), request.probe)
            every.setdefault(at.identity, at)
        size += 4
    return list(every.values())[:number]


def main() -> None:
    """Measure once, and print what the driver took."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    os.environ |= {"PYTHONPATH": str(environment.SOURCE), "RAY_USAGE_STATS_ENABLED": "0"}
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    cluster.add_node(num_cpus=2)
    wanted = asked(number)
    with (
        tempfile.TemporaryDirectory() as scratch,
        onray.OnRay(None, None, False, print, simulated) as engine,
    ):
        nodes = engine.roll(wanted, [])
        places.check(nodes, print)
        print(f"{len(wanted):,} measurements of {SLEEP * 1e3:.0f} ms on {len(nodes)} nodes of {nodes[0].cores} cores")
        folder = Path(scratch) / "records"
        start, spent, sizes = time.monotonic(), time.process_time(), list[float]()
        coming = progress.each(wanted, folder, engine, store.read(folder), hands=engine.hands(wanted))
        for done, found in enumerate(coming, start=1):
            assert found.record.status == "ok", found.record.reason
            if done % (number // 10) == 0:
                sizes.append(resident())
                print(f"{done:,}: {time.monotonic() - start:.0f} s, {sizes[-1] / 1e6:.0f} MB", flush=True)
        took, cpu = time.monotonic() - start, time.process_time() - spent
        written = len(store.read(folder).records)
    print(f"{written:,} records in {took:.0f} s; each took the driver {cpu / number * 1e3:.1f} ms of CPU, all threads")
    print(f"memory of the driver, by tenths: {', '.join(f'{s / 1e6:.0f}' for s in sizes)} MB; most {most():.0f} MB")
    cluster.shutdown()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def most() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
