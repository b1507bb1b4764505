"""The workspace's own programs, built by `buildlib build`, used together and by clients of other projects."""

import json
import subprocess
import threading
import time
from contextlib import ExitStack

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from services import ARCHES, DEADLINE, EMULATORS, Paho, cli, started
from testbed import PROGRAMS, install_packages, run

from buildlib.core.targets import TARGETS
from buildlib.elf import read

pytestmark = pytest.mark.slow


def test_every_program_passes_the_gate_on_every_architecture(dist):
    manifest = json.loads((dist / "manifest.json").read_text())
    binaries = {entry["path"]: (entry["target"], entry["started"]) for entry in manifest["binaries"]}
    assert binaries == {
        f"{arch}/{program}": (TARGETS[arch].triple, "--version") for arch in ARCHES for program in PROGRAMS
    }
    for arch in ARCHES:
        (version,) = cli(dist, arch, "--version")
        assert version.startswith("cli-command 0.1.0 (") and TARGETS[arch].triple in version
        facts = read(dist / arch / "mqtt-server")
        assert (facts.loader == "") == arch.endswith("musl"), facts


@pytest.mark.parametrize(
    ("arch", "path"), [("amd64", None), ("arm64", "neon"), ("armv7", "plain"), ("riscv64", "plain")]
)
def test_programs_report_which_kernels_they_use(dist, arch, path):
    lines = dict(line.split(": ", 1) for line in cli(dist, arch, "arch"))
    assert lines["pointer width"] == ("32" if arch == "armv7" else "64")
    actual = lines["path"].split()[0]
    assert path is None or actual == path
    with started(dist, arch, "mqtt-server") as broker:
        assert broker.wait_for("starting")["path"] == actual
        assert broker.wait_for("starting")["arch"] == lines["arch"]


@pytest.fixture(scope="module")
def mosquitto():
    install_packages("mosquitto-clients")


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
        sub = (
            "mosquitto_sub",
            *common,
            "-t",
            "x/#",
            "-q",
            "2",
            "-C",
            "4",
            "-W",
            str(DEADLINE),
            "-F",
            "%t %p %q %r",
            "-d",
        )
        receiver = subprocess.Popen(sub, stdout=subprocess.PIPE, text=True)
        output = []
        for line in receiver.stdout:  # debug output, until the subscription is acknowledged
            output.append(line)
            if "SUBACK" in line:
                break
        python.subscribe("x/+", 1)
        for qos in (0, 1, 2):
            sent = run("mosquitto_pub", *common, "-t", f"x/{qos}", "-m", f"qos {qos}", "-q", qos)
            assert sent.code == 0, sent
        with receiver.stdout as rest:  # mosquitto_sub exits by itself, see -C and -W
            out = "".join(output) + rest.read()
        assert receiver.wait(DEADLINE) == 0, out
        lines = [line for line in out.splitlines() if line.startswith("x/")]
        assert sorted(lines) == ["x/0 qos 0 0 0", "x/1 qos 1 1 0", "x/2 qos 2 2 0", "x/retained kept 1 1"]
        assert sorted(python.wait_for_messages(4)) == [
            ("x/0", "qos 0", 0, False),
            ("x/1", "qos 1", 1, False),
            ("x/2", "qos 2", 1, False),
            ("x/retained", "kept", 1, True),
        ]
        assert broker.stop() == 0


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_an_mqtt_5_session_survives_a_disconnection(dist, arch):
    def connect(clean):
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="kept", protocol=paho.MQTTv5)
        answered, received = threading.Event(), []
        present = []
        client.on_connect = lambda _c, _u, flags, _r, _p: (present.append(flags.session_present), answered.set())
        client.on_subscribe = lambda *_: answered.set()
        client.on_message = lambda _c, _u, message: received.append(message)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 60
        host, port = broker.address.split(":")
        client.connect(host, int(port), clean_start=clean, properties=properties)
        client.loop_start()
        assert answered.wait(DEADLINE)
        answered.clear()
        return client, present[0], received, answered

    with started(dist, arch, "mqtt-server") as broker:
        client, present, _, answered = connect(clean=True)
        assert not present
        client.subscribe("y", 1)
        assert answered.wait(DEADLINE)
        client.disconnect()
        client.loop_stop()
        other = Paho(broker.address, paho.MQTTv5, "other")
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = ("sender", "other")
        for number in range(20):
            other.publish("y", str(number), 1, properties=properties)
        client, present, received, _ = connect(clean=False)
        deadline = time.monotonic() + DEADLINE
        while len(received) < 20 and time.monotonic() < deadline:
            time.sleep(0.02)
        client.disconnect()
        client.loop_stop()
        other.close()
        assert present and [message.payload.decode() for message in received] == [str(number) for number in range(20)]
        assert {tuple(message.properties.UserProperty[0]) for message in received} == {("sender", "other")}


@pytest.mark.parametrize(
    ("center", "broker", "journal", "client"),
    [("amd64-musl", "amd64", "amd64", "amd64"), ("amd64", "arm64", "riscv64", "armv7")],
    ids=["native", "mixed"],
)
def test_four_services_work_together(dist, tmp_path, center, broker, journal, client):
    with ExitStack() as stack:
        placement = stack.enter_context(
            started(dist, center, "placement-center", "--data", tmp_path / "nodes", "--lease-ms", "3000")
        )
        url = f"http://{placement.address}"
        journal_service = stack.enter_context(
            started(dist, journal, "journal-server", "--data", tmp_path / "journal", "--placement-center", url)
        )
        mqtt = stack.enter_context(
            started(
                dist, broker, "mqtt-server", "--placement-center", url, "--journal", f"http://{journal_service.address}"
            )
        )
        for service in (journal_service, mqtt):
            service.wait_for("registered at the placement center")
        services = (
            "--placement-center",
            url,
            "--journal",
            f"http://{journal_service.address}",
            "--broker",
            mqtt.address,
        )
        nodes = [line.split("\t")[:5] for line in cli(dist, client, *services, "node", "list")]
        assert nodes == [
            [f"{kind}@{service.address}", kind, service.address, "0.1.0", TARGETS[arch].triple]
            for kind, service, arch in (("journal-server", journal_service, journal), ("mqtt-server", mqtt, broker))
        ]
        assert len(cli(dist, client, *services, "health")) == 3
        receiver = subprocess.Popen(
            [
                *EMULATORS[client],
                dist / client / "cli-command",
                *services,
                "mqtt",
                "sub",
                "a/#",
                "--count",
                "2",
                "--long",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(receiver.kill)
        cli(dist, client, *services, "mqtt", "pub", "a/b", "retained", "--retain")
        cli(dist, client, *services, "mqtt", "pub", "a/c", "ünï", "--qos", "2")
        assert sorted(receiver.communicate(timeout=DEADLINE)[0].splitlines()) == ["a/b\tretained", "a/c\tünï"]
        assert cli(dist, client, *services, "journal", "append", "--key", "manual", "one", "two") == ["2", "3"]
        records = [line.split("\t") for line in cli(dist, client, *services, "journal", "read", "--long")]
        assert [(record[0], *record[2:]) for record in records] == [
            ("0", "a/b", "retained"),
            ("1", "a/c", "ünï"),
            ("2", "manual", "one"),
            ("3", "manual", "two"),
        ]
        mqtt.process.kill()
        placement.wait_for("lease expired")
        kinds = [line.split("\t")[1] for line in cli(dist, client, *services, "node", "list")]
        assert kinds == ["journal-server"]
        assert journal_service.stop() == 0
        placement.wait_for("deregistered")
        assert cli(dist, client, *services, "node", "list") == []
        assert placement.stop() == 0
