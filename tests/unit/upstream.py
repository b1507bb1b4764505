"""A registry for tests: it requires tokens, stores blobs, and fails as requested."""

import base64
import hashlib
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Upstream(ThreadingHTTPServer):
    """A registry on the loopback.

    `faults` maps a part of a path to the faults of its next requests: (status, body, headers), "cut" for half a body, "reset" for a
    closed connection. `asked` counts the requests. `lists` says whether it lists referrers.
    """

    daemon_threads, request_queue_size = True, 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.blobs, self.faults, self.asked, self.tokens = {}, {}, Counter(), set()
        self.ranges, self.password, self.denied, self.lists = True, "", "", False

    def __enter__(self):
        """Serve until the end of the block."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return super().__enter__()

    def __exit__(self, *error):
        self.shutdown()
        super().__exit__(*error)

    def fault(self, path):
        return next((kinds.pop(0) for part, kinds in self.faults.items() if part in path and kinds), None)

    def handle_error(self, *_):
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, (path, _, query) = self.server, self.path.partition("?")
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.asked[f"{self.command} {path}"] += 1
        fault = server.fault(path)
        if fault == "reset":
            self.close_connection = True
            return self.connection.close()
        if isinstance(fault, tuple):
            return self.answer(*fault)
        if path == "/token":
            return self.token()
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in server.tokens:
            return self.answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}',
                            {"WWW-Authenticate": f'Bearer realm="http://{server.address}/token",service="s",scope="x:y"'})  # fmt: skip
        return self.content(path, query, cut=fault == "cut")

    do_HEAD = do_POST = do_PUT = do_GET

    def content(self, path, query, *, cut):
        name = path.rpartition("/")[2]
        if "/uploads/" in path:
            return self.upload(path, parse_qs(query))
        if self.command == "PUT":
            self.server.blobs |= {name: self.body, digest(self.body): self.body}
            return self.answer(201, b"", {"Location": path})
        if "/referrers/" in path and self.server.lists:
            return self.referrers(name)
        return self.blob(name, cut=cut)

    def token(self):
        expected = f"Basic {base64.b64encode(self.server.password.encode()).decode()}"
        if self.server.password and self.headers.get("Authorization") != expected:
            return self.answer(401, b'{"errors":[{"message":"incorrect username or password"}]}')
        token = f"t{len(self.server.tokens)}"
        self.server.tokens.add(token)
        return self.answer(200, json.dumps({"token": token}).encode())

    def upload(self, path, query):
        if self.command == "POST" and query.get("mount", [""])[0] in self.server.blobs:
            return self.answer(201, b"", {"Location": f"/v2/a/b/blobs/{query['mount'][0]}"})
        if self.command == "POST":
            return self.answer(202, b"", {"Location": f"http://{self.server.address}/v2/a/b/blobs/uploads/u?_state=x"})
        self.server.blobs[query["digest"][0]] = self.body
        return self.answer(
            201, b"", {"Location": f"/v2/a/b/blobs/{query['digest'][0]}", "Docker-Content-Digest": query["digest"][0]}
        )

    def referrers(self, subject):
        """As go-containerregistry's registry answers: with the type of the configuration, and without annotations."""
        manifests = []
        for name, data in self.server.blobs.items():
            if b'"subject"' in data and json.loads(data)["subject"]["digest"] == subject and name.startswith("sha256:"):
                kind = json.loads(data)["config"]["mediaType"]
                manifests.append({"mediaType": MANIFEST, "digest": name, "size": len(data), "artifactType": kind})
        data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()
        self.answer(200, data, {"Content-Type": INDEX})

    def blob(self, name, *, cut):
        if name not in self.server.blobs:
            return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
        data, status = self.server.blobs[name], 200
        if self.server.ranges and "Range" in self.headers:
            data, status = data[int(self.headers["Range"].removeprefix("bytes=").partition("-")[0]) :], 206
        return self.answer(status, data, {"Docker-Content-Digest": name}, cut=cut)

    def answer(self, status, data, headers=(), *, cut=False):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = cut
