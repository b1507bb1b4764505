"""Serves text that the wheel's compiled module has escaped."""

import http.server
import platform
import signal
import sys

from markupsafe import _speedups, escape

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(escape("<four platforms>")).encode())


print("escaping on", platform.machine(), "with", _speedups.__name__, flush=True)
http.server.HTTPServer(("", 8000), Handler).serve_forever()
