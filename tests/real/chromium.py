"""Headless Chromium, through its DevTools protocol on two pipes: no driver, no port, no further package."""

import base64
import itertools
import json
import os
import subprocess
from contextlib import contextmanager

import testbed

PACKAGE = "chromium-headless-shell"  # Debian's: a download of 100 MB
# No background traffic: without these it looks up hosts of its maker at each start.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One page. `events` are those of the protocol that have arrived, with their parameters."""

    def __init__(self, reading, writing):
        self.reading, self.writing = reading, writing
        self.numbers, self.events, self.session = itertools.count(1), [], {}
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = {"sessionId": self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method, **parameters):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters, **self.session}
        self.writing.write(json.dumps(message).encode() + b"\0")
        self.writing.flush()
        while (answer := self._next()).get("id") != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self):
        data = bytearray()
        while (byte := self.reading.read(1)) != b"\0":
            assert byte, "Chromium has ended"
            data += byte
        message = json.loads(data)
        if "method" in message:
            self.events.append((message["method"], message["params"]))
        return message

    def open(self, url, width, scheme="light", media="screen"):
        """Show a page in this width, and wait until it is loaded."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self("Emulation.setEmulatedMedia", media=media, features=features)
        self.events.clear()
        self("Page.navigate", url=url)
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            self._next()

    def value(self, expression):
        """The value of an expression of JavaScript, as JSON can have it."""
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, file):
        """Write a picture of the whole page."""
        data = self("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        file.write_bytes(base64.b64decode(data))

    def of(self, *methods):
        """The parameters of the events with these names."""
        return [parameters for method, parameters in self.events if method in methods]


@contextmanager
def browser(folder):
    """Start Chromium with an empty profile in `folder`, and end it afterwards. Installed where it is missing."""
    testbed.install_packages(PACKAGE)
    commands, results = os.pipe(), os.pipe()
    read_end, write_end = commands[0], results[1]

    def pipes():
        for number, wanted in ((os.dup(read_end), 3), (os.dup(write_end), 4)):  # what the protocol expects
            os.dup2(number, wanted)

    process = subprocess.Popen(
        [PACKAGE, *FLAGS, f"--user-data-dir={folder}"], preexec_fn=pipes,  # noqa: PLW1509 the tests have no threads
        pass_fds=(3, 4), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(read_end)
    os.close(write_end)
    try:
        with open(commands[1], "wb") as writing, open(results[0], "rb") as reading:
            yield Browser(reading, writing)
    finally:
        process.kill()
        process.wait()
