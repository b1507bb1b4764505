"""Images that are pulled for a command, of several platforms at once, and that the daemon has as little of afterwards as before."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from buildlib.core.cases import FAILED, Case
from buildlib.core.targets import Target
from buildlib.failures.classify import classify
from buildlib.smoke.containers import Daemon, reason, sdk_errors


class Pulls:
    """The images of one name, of the platforms that are asked for. `tag` may be a digest.

    A daemon has one platform under a name: pulling another one moves the name, and what it means is only certain until the next pull.
    So one is pulled at a time, and containers are started by the ID. After `close` the name means what it meant before.
    """

    def __init__(self, daemon: Daemon, repository: str, tag: str) -> None:
        self.daemon, self.repository, self.tag = daemon, repository, tag
        self.name = f"{repository}{'@' if ':' in tag else ':'}{tag}"
        self._lock = threading.Lock()
        self._users: Counter[str] = Counter()  # by ID; some daemons have one for all platforms
        self._before: set[str | None] | None = None  # the IDs that the daemon had, None before the first pull
        self._previous: str | None = None  # what the name meant

    @contextmanager
    def image(self, target: Target) -> Iterator[str | Case]:
        """Pull the image for the platform and yield its ID, or a failed case. Afterwards it is removed, if nobody else uses it.

        Interrupted if the command was stopped meanwhile.
        """
        with self._lock:
            self.daemon.check()
            pulled = self._pull(target)
            self._users[str(pulled)] += 1
        try:
            yield pulled
        finally:
            with self._lock:
                self._users[str(pulled)] -= 1
                if isinstance(pulled, str) and not self._users[pulled] and pulled not in (self._before or ()):
                    with suppress(*sdk_errors()):
                        self.daemon.client.images.remove(pulled, force=True)

    def _pull(self, target: Target) -> str | Case:
        images = self.daemon.client.images
        try:
            if self._before is None:
                before = {image.id for image in images.list(all=True)}
                self._previous = self._meaning()
                self._before = before
            return str(images.pull(self.repository, tag=self.tag, platform=target.oci).id)
        except sdk_errors() as error:
            detail = reason(error)
            return Case(name="pull", result=FAILED, detail=classify(detail).cause or detail)

    def close(self) -> None:
        """Let the name mean what it meant before."""
        if ":" in self.tag or self._before is None:  # a digest always means the same image
            return
        client = self.daemon.client
        with suppress(*sdk_errors()):
            if self._previous is not None:
                client.api.tag(self._previous, self.repository, self.tag)
            elif (now := self._meaning()) and (
                now not in self._before or now in self.daemon.named or self._take_name(now)
            ):
                client.images.remove(self.name)

    def _meaning(self) -> str | None:
        """The ID of the image that has the name now, None for none."""
        from docker.errors import ImageNotFound

        with suppress(ImageNotFound):
            return str(self.daemon.client.images.get(self.name).id)
        return None

    def _take_name(self, image: str) -> bool:
        """Let another image, which has a name of its own, take the last name of an image that is to stay without one.

        Removing its last name would remove the image. False if the daemon has no other image with a name; then it keeps this one.
        """
        other = next((one for one in self.daemon.named if one != image), "")
        return bool(other) and bool(self.daemon.client.api.tag(other, self.repository, self.tag))
