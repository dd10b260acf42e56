"""Eight writers of 1,000 records, one killed, on an S3 server here: python -m tests.bench.bucket [AT_ONCE]."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from workbench import store
from workbench.store import compacting

EXAMPLE = Path(__file__).parent.parent / "records"
WRITERS = Path(__file__).parent.parent / "writers.py"


def main(at_once: str) -> None:
    """Write, kill, read, merge, and read again."""
    import s3fs
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.get_host_and_port()[1]}",
        "AWS_ACCESS_KEY_ID": "made",
        "AWS_SECRET_ACCESS_KEY": "made",
    }
    s3fs.S3FileSystem(use_listings_cache=False).mkdir("bucket")
    place, line = "s3://bucket/records", json.dumps(store.to_json(store.read(EXAMPLE).records[0]))
    began = time.perf_counter()
    words = [sys.executable, str(WRITERS), place, "8", "1000", at_once, line]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    told = json.loads(ran.stdout)
    print(f"{len(told['finished']):,} told as written in {time.perf_counter() - began:.1f} s, one of 8 killed")
    for _ in range(2):
        began = time.perf_counter()
        contents = store.read(place)
        took, stored = time.perf_counter() - began, Counter(r.variant for r in contents.records)
        lost, twice = set(told["finished"]) - stored.keys(), [n for n, k in stored.items() if k > 1]
        print(
            f"read in {took:.1f} s: {len(stored):,} in {len(contents.ends):,} objects, "
            f"{len(lost)} lost, {len(twice)} twice"
        )
        print(compacting.compact(place))
    server.stop()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "1")
