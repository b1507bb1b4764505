"""Runs the workspace's programs, under QEMU where they are of another architecture, and MQTT clients for them."""

import json
import signal
import subprocess
import threading
from contextlib import contextmanager

import paho.mqtt.client as paho
from testbed import run

from buildlib.core.targets import TARGETS

ARCHES = ("amd64", "arm64", "armv7", "riscv64", "amd64-musl", "arm64-musl")
EMULATORS = {
    "amd64": (),
    "arm64": ("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"),
    "armv7": ("qemu-arm-static", "-L", "/usr/arm-linux-gnueabihf"),
    "riscv64": ("qemu-riscv64-static", "-L", "/usr/riscv64-linux-gnu"),
    "amd64-musl": (),
    "arm64-musl": ("qemu-aarch64-static",),
}
DEADLINE = 120  # seconds; an emulator on a busy machine is slow


class Service:
    """A running program and its log."""

    def __init__(self, argv):
        self.process = subprocess.Popen([str(word) for word in argv], stderr=subprocess.PIPE, text=True)
        self.log = []
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        with self.process.stderr as lines:
            for line in lines:
                with self.changed:
                    self.log.append(json.loads(line))
                    self.changed.notify_all()

    def wait_for(self, message):
        """Wait for the first line of the log with this message, and return it."""
        with self.changed:
            lines = self.changed.wait_for(lambda: [line for line in self.log if line["message"] == message], DEADLINE)
        assert lines, (message, self.log)
        return lines[0]

    @property
    def address(self):
        return self.wait_for("listening")["address"]

    def stop(self):
        """Send SIGTERM and return the exit code. TimeoutExpired if the program does not stop."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)


@contextmanager
def started(dist, arch, program, *args):
    argv = (*EMULATORS[arch], dist / arch / program, "--listen", "127.0.0.1:0", "--log-format", "json", *args)
    service = Service(argv)
    try:
        assert service.wait_for("starting")["triple"] == TARGETS[arch].triple
        yield service
    finally:
        service.process.kill()
        service.process.wait()
        service.reader.join()


def cli(dist, arch, *args):
    done = run(*EMULATORS[arch], dist / arch / "cli-command", *args)
    assert done.code == 0, done
    return done.out.splitlines()


class Paho:
    """A client of paho, Eclipse's Python library for MQTT."""

    def __init__(self, address, version, name):
        self.received = []
        self.changed = threading.Condition()
        self.subscribed = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, protocol=version)
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        host, port = address.split(":")
        self.client.connect(host, int(port))
        self.client.loop_start()

    def _on_message(self, _client, _userdata, message):
        with self.changed:
            self.received.append(message)
            self.changed.notify_all()

    def subscribe(self, topic_filter, qos):
        self.client.subscribe(topic_filter, qos)
        assert self.subscribed.wait(DEADLINE)

    def publish(self, topic, payload, qos, **more):
        self.client.publish(topic, payload, qos, **more).wait_for_publish(DEADLINE)

    def wait_for_messages(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.received) >= count, DEADLINE), self.received
        return [(message.topic, message.payload.decode(), message.qos, message.retain) for message in self.received]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
