"""The workspace's own programs, as `buildlib build` makes them, used together and by clients from elsewhere."""

import json
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager

import paho.mqtt.client as paho
import pytest
from bed import PROGRAMS, packages, run
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from buildlib.binaries.elf import read
from buildlib.core.targets import TARGETS

ARCHES = ("amd64", "arm64", "armv7", "riscv64", "amd64-musl", "arm64-musl")
EMULATED = {
    "amd64": (),
    "arm64": ("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"),
    "armv7": ("qemu-arm-static", "-L", "/usr/arm-linux-gnueabihf"),
    "riscv64": ("qemu-riscv64-static", "-L", "/usr/riscv64-linux-gnu"),
    "amd64-musl": (),
    "arm64-musl": ("qemu-aarch64-static",),
}
SOON = 30  # seconds; an emulator on a busy machine is slow


class Service:
    """A program that runs, and what it has logged."""

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

    def said(self, message):
        """The first line of the log with this message, waited for."""
        with self.changed:
            found = self.changed.wait_for(lambda: [line for line in self.log if line["message"] == message], SOON)
        assert found, (message, self.log)
        return found[0]

    @property
    def address(self):
        return self.said("listening")["address"]

    def stop(self):
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SOON), time.monotonic() - began


@contextmanager
def started(dist, arch, program, *args):
    argv = (*EMULATED[arch], dist / arch / program, "--listen", "127.0.0.1:0", "--log-format", "json", *args)
    service = Service(argv)
    try:
        assert service.said("starting")["triple"] == TARGETS[arch].triple
        yield service
    finally:
        service.process.kill()
        service.process.wait()
        service.reader.join()


def cli(dist, arch, *args):
    done = run(*EMULATED[arch], dist / arch / "cli-command", *args)
    assert done.code == 0, done
    return done.out.splitlines()


@pytest.mark.slow
def test_all_programs_for_every_arch_are_gated_and_started(dist):
    manifest = json.loads((dist / "manifest.json").read_text())
    found = {entry["path"]: (entry["target"], entry["started"]) for entry in manifest["binaries"]}
    assert found == {
        f"{arch}/{program}": (TARGETS[arch].triple, "--version") for arch in ARCHES for program in PROGRAMS
    }
    for arch in ARCHES:
        (told,) = cli(dist, arch, "--version")
        assert told.startswith("cli-command 0.1.0 (") and TARGETS[arch].triple in told
        facts = read(dist / arch / "mqtt-server")
        assert (facts.loader == "") == arch.endswith("musl"), facts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "path"), [("amd64", None), ("arm64", "neon"), ("armv7", "plain"), ("riscv64", "plain")]
)
def test_the_path_of_the_kernels_is_told(dist, arch, path):
    lines = dict(line.split(": ", 1) for line in cli(dist, arch, "arch"))
    assert lines["pointer width"] == ("32" if arch == "armv7" else "64")
    chosen = lines["path"].split()[0]
    assert path is None or chosen == path
    with started(dist, arch, "mqtt-server") as broker:
        assert broker.said("starting")["path"] == chosen
        assert broker.said("starting")["arch"] == lines["arch"]


class Paho:
    """A client of the published Python library."""

    def __init__(self, address, version, name):
        self.got = []
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
            self.got.append(message)
            self.changed.notify_all()

    def subscribe(self, topic_filter, qos):
        self.client.subscribe(topic_filter, qos)
        assert self.subscribed.wait(SOON)

    def publish(self, topic, payload, qos, **more):
        self.client.publish(topic, payload, qos, **more).wait_for_publish(SOON)

    def messages(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= count, SOON), self.got
        return [(message.topic, message.payload.decode(), message.qos, message.retain) for message in self.got]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="module")
def mosquitto():
    packages("mosquitto-clients")


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["amd64", "arm64"])
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_and_paho_exchange_messages(dist, mosquitto, arch, version):
    protocol = {"mqttv311": paho.MQTTv311, "mqttv5": paho.MQTTv5}[version]
    with started(dist, arch, "mqtt-server") as broker, ExitStack() as stack:
        host, port = broker.address.split(":")
        common = ("-h", host, "-p", port, "-V", version)
        python = Paho(broker.address, protocol, "python")
        stack.callback(python.close)
        python.publish("x/retained", "kept", 1, retain=True)
        sub = ("mosquitto_sub", *common, "-t", "x/#", "-q", "2", "-C", "4", "-W", str(SOON), "-F", "%t %p %q %r", "-d")
        receiver = subprocess.Popen(sub, stdout=subprocess.PIPE, text=True)
        heard = []
        for line in receiver.stdout:  # its own account of what it is told, until it is subscribed
            heard.append(line)
            if "SUBACK" in line:
                break
        python.subscribe("x/+", 1)
        for qos in (0, 1, 2):
            sent = run("mosquitto_pub", *common, "-t", f"x/{qos}", "-m", f"qos {qos}", "-q", qos)
            assert sent.code == 0, sent
        with receiver.stdout as rest:  # it ends by itself, see -W
            out = "".join(heard) + rest.read()
        assert receiver.wait(SOON) == 0, out
        lines = [line for line in out.splitlines() if line.startswith("x/")]
        assert sorted(lines) == ["x/0 qos 0 0 0", "x/1 qos 1 1 0", "x/2 qos 2 2 0", "x/retained kept 1 1"]
        assert sorted(python.messages(4)) == [
            ("x/0", "qos 0", 0, False),
            ("x/1", "qos 1", 1, False),
            ("x/2", "qos 2", 1, False),
            ("x/retained", "kept", 1, True),
        ]
        code, seconds = broker.stop()
        assert code == 0 and seconds < 5


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_a_session_of_mqtt_5_is_kept(dist, arch):
    def connect(clean):
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="kept", protocol=paho.MQTTv5)
        answered, got = threading.Event(), []
        present = []
        client.on_connect = lambda _c, _u, flags, _r, _p: (present.append(flags.session_present), answered.set())
        client.on_subscribe = lambda *_: answered.set()
        client.on_message = lambda _c, _u, message: got.append(message)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 60
        host, port = broker.address.split(":")
        client.connect(host, int(port), clean_start=clean, properties=properties)
        client.loop_start()
        assert answered.wait(SOON)
        answered.clear()
        return client, present[0], got, answered

    with started(dist, arch, "mqtt-server") as broker:
        client, present, _, answered = connect(clean=True)
        assert not present
        client.subscribe("y", 1)
        assert answered.wait(SOON)
        client.disconnect()
        client.loop_stop()
        other = Paho(broker.address, paho.MQTTv5, "other")
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = ("who", "other")
        for number in range(20):
            other.publish("y", str(number), 1, properties=properties)
        client, present, got, _ = connect(clean=False)
        until = time.monotonic() + SOON
        while len(got) < 20 and time.monotonic() < until:
            time.sleep(0.02)
        client.disconnect()
        client.loop_stop()
        other.close()
        assert present and [message.payload.decode() for message in got] == [str(number) for number in range(20)]
        assert {tuple(message.properties.UserProperty[0]) for message in got} == {("who", "other")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("center", "broker", "journal", "client"),
    [("amd64-musl", "amd64", "amd64", "amd64"), ("amd64", "arm64", "riscv64", "armv7")],
    ids=["native", "mixed"],
)
def test_four_services_together(dist, tmp_path, center, broker, journal, client):
    with ExitStack() as stack:
        placement = stack.enter_context(
            started(dist, center, "placement-center", "--data", tmp_path / "nodes", "--lease-ms", "3000")
        )
        url = f"http://{placement.address}"
        keeper = stack.enter_context(
            started(dist, journal, "journal-server", "--data", tmp_path / "journal", "--placement-center", url)
        )
        mqtt = stack.enter_context(
            started(dist, broker, "mqtt-server", "--placement-center", url, "--journal", f"http://{keeper.address}")
        )
        for service in (keeper, mqtt):
            service.said("registered at the placement center")
        where = ("--placement-center", url, "--journal", f"http://{keeper.address}", "--broker", mqtt.address)
        nodes = [line.split("\t")[:5] for line in cli(dist, client, *where, "node", "list")]
        assert nodes == [
            [f"{kind}@{service.address}", kind, service.address, "0.1.0", TARGETS[arch].triple]
            for kind, service, arch in (("journal-server", keeper, journal), ("mqtt-server", mqtt, broker))
        ]
        assert len(cli(dist, client, *where, "health")) == 3
        receiver = subprocess.Popen(
            [*EMULATED[client], dist / client / "cli-command", *where, "mqtt", "sub", "a/#", "--count", "2", "--long"],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(receiver.kill)
        cli(dist, client, *where, "mqtt", "pub", "a/b", "kept for it", "--retain")
        cli(dist, client, *where, "mqtt", "pub", "a/c", "ünï", "--qos", "2")
        assert sorted(receiver.communicate(timeout=SOON)[0].splitlines()) == ["a/b\tkept for it", "a/c\tünï"]
        assert cli(dist, client, *where, "journal", "append", "--key", "by hand", "one", "two") == ["2", "3"]
        records = [line.split("\t") for line in cli(dist, client, *where, "journal", "read", "--long")]
        assert [(record[0], *record[2:]) for record in records] == [
            ("0", "a/b", "kept for it"),
            ("1", "a/c", "ünï"),
            ("2", "by hand", "one"),
            ("3", "by hand", "two"),
        ]
        mqtt.process.kill()
        placement.said("lease ran out")
        kinds = [line.split("\t")[1] for line in cli(dist, client, *where, "node", "list")]
        assert kinds == ["journal-server"]
        code, seconds = keeper.stop()
        assert code == 0 and seconds < 5
        placement.said("deregistered")
        assert cli(dist, client, *where, "node", "list") == []
        code, seconds = placement.stop()
        assert code == 0 and seconds < 5
