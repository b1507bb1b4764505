"""A Docker daemon for unit tests: the client of Docker's SDK, with containers whose output, exit code and health are invented."""

from docker.errors import ImageNotFound, NotFound

from buildlib.smoke.containers import Daemon


class FakeContainer:
    """A container: its log, its exit code, and its health over time."""

    def __init__(self, log="", code=0, health=("starting", "healthy"), running=True, start_error=None):
        self.log, self.code, self.health, self.running = log, code, list(health), running
        self.answers, self.start_error = {"StatusCode": code}, start_error
        self.attrs, self.stopped, self.removed = {}, None, False
        self.ports = {"1883/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4000"}]}

    def start(self):
        if self.start_error:
            raise self.start_error

    def wait(self, **_):
        return self.answers

    def logs(self):
        return self.log.encode()

    def reload(self):
        status = self.health.pop(0) if len(self.health) > 1 else self.health[0]
        health = {"Status": status, "Log": [{"Output": "first\n"}, {"Output": "check failed\n"}]}
        self.attrs = {"State": {"Running": self.running, "ExitCode": self.code}}
        if status != "none":
            self.attrs["State"]["Health"] = health

    def stop(self, timeout):
        self.stopped = timeout

    def remove(self, **_):
        self.removed = True


class FakeImage:
    def __init__(self, id, attrs=()):
        self.id, self.attrs = id, attrs


IMAGE = {"Os": "linux", "Architecture": "arm64", "Variant": "v8", "Config": {"User": "65532:65532"}}


class Client:
    """The client of Docker's SDK for one image."""

    def __init__(self, containers=(), attrs=()):
        usual = {
            "uname": FakeContainer("aarch64\n"),
            "--version": FakeContainer("app 1.2.3 (abc)\n"),
            "": FakeContainer("listening\n"),
        }
        self.by_words = usual | dict(containers)
        self.attrs = IMAGE | dict(attrs)
        self.started = []
        self.containers = self.images = self

    def get(self, _):
        return FakeImage("sha256:1", self.attrs)

    def create(self, image, words, **options):
        self.started.append((image, words, options))
        return self.by_words[options.get("entrypoint") or "".join(words)]


class Store(Client):
    """A daemon that holds images by name, pulls others, and lists containers."""

    def __init__(self, names=(), pulled="sha256:new", error=None, **more):
        super().__init__(**more)
        self.names, self.pulled, self.error = dict(names), pulled, error
        self.actions, self.remaining = [], []
        self.api, self.closed = self, False

    def ping(self):
        return True

    def close(self):
        self.closed = True

    def list(self, *, all, filters=None, ignore_removed=False):
        return self.remaining if filters else [FakeImage(id) for id in self.names.values()]

    def get(self, name):
        if name.startswith("sha256:"):
            return FakeImage(name, self.attrs)
        if name not in self.names:
            raise ImageNotFound(name)
        return FakeImage(self.names[name])

    def pull(self, repository, *, tag, platform):
        self.actions.append(("pull", repository, tag, platform))
        if self.error:
            raise self.error
        id = self.pulled[platform] if isinstance(self.pulled, dict) else self.pulled
        self.names = {name: other for name, other in self.names.items() if name or other != id}
        self.names[f"{repository}{'@' if ':' in tag else ':'}{tag}"] = id
        return FakeImage(id)

    def tag(self, image, repository, tag):
        self.actions.append(("tag", image, repository, tag))
        self.names[f"{repository}:{tag}"] = image
        return True

    def remove(self, name, **_):
        """An image by its ID, with all its names, or a name; "" is the name of an image without one."""
        self.actions.append(("remove", name))
        self.names = {one: id for one, id in self.names.items() if name not in (one, id)}


class Loading(Client):
    """A daemon into which archives are loaded. `nameless` are IDs of images that it has without a name."""

    def __init__(self, id="", nameless=(), answers=(), **more):
        super().__init__(**more)
        self.id, self.nameless, self.answers = id, nameless, answers
        self.archives, self.removed = [], []
        self.api, self.closed = self, False

    def ping(self):
        return True

    def close(self):
        self.closed = True

    def list(self, **_):
        return []

    def load_image(self, parts):
        self.archives.append(b"".join(parts))
        return iter(self.answers)

    def get(self, name):
        if name == self.id and self.archives:
            return FakeImage(name, self.attrs)
        if name.startswith("sha256:"):
            if name in self.nameless:
                return FakeImage(name, self.attrs | {"RepoTags": []})
            raise NotFound(name)
        return FakeImage(self.id)

    def remove(self, name, **_):
        self.removed.append(name)


class Clock:
    """Stands for the module `time`: only sleeping lets time pass."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def daemon(client, interrupted=lambda: False):
    return Daemon(client=client, label="l", interrupted=interrupted)
