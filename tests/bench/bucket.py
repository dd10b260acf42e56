"""Eight writers of 1,000 records, one killed, at any place: python -m tests.bench.bucket [--at PLACE] [--at-once N].

Without a place on an S3 server of its own process. Readers are processes of their own too, as commands are: the first
has fetched nothing, the second finds what the first has kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench import store
from workbench.store import compacting

EXAMPLE = Path(__file__).parent.parent / "records"
WRITERS = Path(__file__).parent.parent / "writers.py"
READ = """
import sys, time
began = time.perf_counter()
from workbench import store
contents = store.read(sys.argv[1])
print(f"{time.perf_counter() - began:.1f} s, {time.process_time():.1f} s of CPU: {len(contents.records):,} records")
"""


@contextmanager
def served() -> Iterator[str]:
    """A bucket of an S3 server of this machine; how much CPU the server took is told at the end."""
    import s3fs

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            os.environ |= {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_ACCESS_KEY_ID": "made",
                "AWS_SECRET_ACCESS_KEY": "made",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            while True:
                with socket.socket() as knock:
                    if knock.connect_ex(("127.0.0.1", int(port))) == 0:
                        break
                time.sleep(0.2)
            s3fs.S3FileSystem(use_listings_cache=False).mkdir("bucket")
            yield "s3://bucket/records"
            ticks = re.findall(r"\d+", Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2])
            spent = sum(map(int, ticks[10:12])) / os.sysconf("SC_CLK_TCK")
            print(f"the server took {spent:.1f} s of CPU")
        finally:
            server.terminate()


def main(place: str, writers: int, at_once: int) -> None:
    """Write, kill, read, merge, and read again."""
    line = json.dumps(store.to_json(store.read(EXAMPLE).records[0]))
    began = time.perf_counter()
    words = [sys.executable, str(WRITERS), place, str(writers), "1000", str(at_once), line]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    told = json.loads(ran.stdout)
    print(f"{len(told['finished']):,} told as written in {time.perf_counter() - began:.1f} s, one of {writers} killed")
    for words in ("never read", "read before", "merged", "merged and read before"):
        if words == "merged":
            began = time.perf_counter()
            done = compacting.compact(place)
            print(f"{done} {time.perf_counter() - began:.1f} s", flush=True)
        ran = subprocess.run([sys.executable, "-c", READ, place], capture_output=True, text=True, check=True)
        print(f"{words}: {ran.stdout.strip()}", flush=True)
    stored = Counter(r.variant for r in store.read(place).records)
    lost, twice = set(told["finished"]) - stored.keys(), [n for n, k in stored.items() if k > 1]
    print(f"{len(stored):,} in the store, {len(lost)} lost, {len(twice)} twice")


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("--at")
    asked.add_argument("--writers", type=int, default=8)
    asked.add_argument("--at-once", type=int, default=1)
    chosen = asked.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {"XDG_CACHE_HOME": cache, "PYTHONPATH": str(WRITERS.parent.parent)}
        if chosen.at:
            main(chosen.at, chosen.writers, chosen.at_once)
        else:
            with served() as address:
                main(address, chosen.writers, chosen.at_once)
