"""Chromium without a window, spoken to over a pipe in its DevTools protocol: no package, no port."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
PATIENCE = 60.0
"""Seconds for any one answer."""

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--remote-debugging-pipe",
)  # fmt: skip


def find():
    """The browser of this machine, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


START = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The browser listens at 3 and answers at 4."""


class Browser:
    """One page of one browser, and whatever it complained of."""

    def __init__(self, binary, profile):
        ours, its = os.pipe(), os.pipe()
        start = [sys.executable, "-c", START, str(ours[0]), str(its[1])]
        command = [*start, binary, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, pass_fds=(ours[0], its[1]), **quiet)
        os.close(ours[0])
        os.close(its[1])
        self.write, self.read = ours[1], its[0]
        self.rest, self.count, self.session, self.events = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.write)  # which ends it
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.read)

    def call(self, method, **params):
        """One command and its answer; what happens in between is kept in `events`."""
        self.count += 1
        asked = {"id": self.count, "method": method, "params": params}
        asked |= {"sessionId": self.session} if self.session else {}
        os.write(self.write, json.dumps(asked).encode() + b"\0")
        while True:
            told = self.next()
            if told.get("id") == self.count:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]
            self.events.append(told)

    def next(self):
        """The next message."""
        until = time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read], [], [], max(0.0, until - time.monotonic()))
            more = os.read(self.read, 1 << 20) if ready else b""
            assert more, f"the browser said nothing for {PATIENCE:g} s, or ended"
            self.rest += more
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def open(self, url, width=1280, height=1000, scheme="light"):
        """Load a page and wait until everything in it is there."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        assert "errorText" not in self.call("Page.navigate", url=url)
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self.next())

    def evaluate(self, script):
        """The value of an expression in the page."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def complaints(self):
        """What the page wrote to the console as an error or a warning, and exceptions nobody caught."""
        self.evaluate("1")  # whatever was said before this answer has come
        found = []
        for event in self.events:
            name, params = event.get("method"), event.get("params", {})
            loud = name == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert")
            logged = name == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning")
            if loud or logged or name == "Runtime.exceptionThrown":
                found.append(json.dumps(params)[:500])
        return found

    def picture(self, path):
        """The page as it is seen, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
