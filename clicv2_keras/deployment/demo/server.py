"""A page on this machine that scores pictures in the browser: nothing is uploaded."""

import base64
import errno
import functools
import hashlib
import io
import json
import re
import socketserver
import threading
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from PIL import Image

from clicv2_keras.deployment.scoring.network import find_tflite
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.procedural import procedural_image
from clicv2_keras.utils.tflite_file import unpack

FOLDER = Path(__file__).parent
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".tflite": "application/octet-stream",
}
# Seeds of procedural images, from nearly empty to crowded.
SAMPLES = (3, 20, 18, 1, 21, 4)
SAMPLE_SIDE = 480


def demo(model="default", port=0, browser=True, on_start=print):
    """Serve the demo on 127.0.0.1 until Ctrl-C: pictures are decoded, scored and shown by the browser alone.

    Args:
        model: a trained preset's name, or a `.tflite` file of `clicv2-keras export`.
        port: the port to listen on; 0 takes one that is free.
        browser: open the page in the user's browser.
        on_start: called with the page's address once it can be opened.

    Raises:
        UserError: where there is no such model, or the port is taken.
    """
    file = find_tflite(model)
    try:
        server = DemoServer(file, unpack(file), port)
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise UserError(f"--port {port}: {reason}; name another, or none to take one that is free") from None
    with server:
        on_start(server.url)
        if browser:
            # Where the only browser is one for terminals, opening it waits until it is left.
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


class DemoServer(socketserver.ThreadingTCPServer):
    """The demo's files over HTTP, to this machine alone. It answers GET and HEAD for a fixed list of addresses.

    Args:
        file: path of a `.tflite` file.
        model: the same as `clicv2_keras.utils.tflite_file.TFLiteFile`.
        port: 0 takes one that is free.

    Raises:
        OSError: where the port cannot be had.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, file, model, port=0):
        page = FOLDER / "page"
        self.routes = {f"/{path.name}": path.read_bytes for path in page.iterdir() if path.suffix in TYPES}
        self.routes |= {f"/litert/{path.name}": path.read_bytes for path in (FOLDER / "litert").iterdir()}
        self.routes |= {f"/samples/{i}.png": functools.partial(_sample, seed) for i, seed in enumerate(SAMPLES)}
        self.routes |= {
            "/": (page / "index.html").read_bytes,
            "/model.tflite": Path(file).read_bytes,
            "/model.json": lambda: json.dumps(model.metadata).encode(),
            "/card.md": model.card.encode,
        }
        self.policy = _policy((page / "index.html").read_text(encoding="utf-8"))
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/"

    @property
    def hosts(self):
        """What a browser may call this server: a stranger's name that resolves to 127.0.0.1 is refused."""
        return {f"{name}:{self.server_address[1]}" for name in ("127.0.0.1", "localhost")}


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "clicv2-keras", ""

    def do_GET(self):
        path = self.path.partition("?")[0]
        if self.headers.get("Host") not in self.server.hosts:
            return self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        if path not in self.server.routes:
            return self.send_error(HTTPStatus.NOT_FOUND)
        body = self.server.routes[path]()
        try:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", TYPES.get(Path(path).suffix, TYPES[".html"]))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except ConnectionError:
            pass  # the browser went away

    do_HEAD = do_GET

    def refuse(self):
        """Nothing is taken: pictures stay in the browser."""
        self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = refuse

    def end_headers(self):
        self.send_header("Content-Security-Policy", self.server.policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_):
        pass


def _policy(html):
    """Content from this server alone, and of scripts in the page only its import map."""
    (script,) = re.findall(r'<script type="importmap">(.*?)</script>', html, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'sha256-{digest}'; style-src 'self'; "
        "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@functools.lru_cache
def _sample(seed):
    """A procedural image as PNG."""
    file = io.BytesIO()
    Image.fromarray(procedural_image(seed, SAMPLE_SIDE)[0]).save(file, "PNG")
    return file.getvalue()
