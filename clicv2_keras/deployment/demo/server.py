"""A page on this machine that scores pictures in the browser: nothing is uploaded."""

import errno
import ipaddress
import socket
import socketserver
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clicv2_keras.deployment.demo.files import PAGE, TYPES, content_policy, demo_files
from clicv2_keras.deployment.scoring.network import find_tflite
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import StrPath
from clicv2_keras.utils.tflite_file import TFLiteFile, unpack

LOOPBACK = "127.0.0.1"
# Requests that are answered at once, and seconds that one who is silent is waited for.
MOST_ANSWERING, SECONDS = 64, 20
# Bytes of an answer that are sent at a time.
PIECE = 2**16


def demo(
    model: StrPath = "default",
    port: int = 0,
    browser: bool = True,
    on_start: Callable[[str], object] = print,
    host: str = LOOPBACK,
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Serve the demo until Ctrl-C: pictures are decoded, scored and shown by the browser alone.

    Args:
        model: a trained preset's name, or a `.tflite` file of `clicv2-keras export`.
        port: the port to listen on; 0 takes one that is free.
        browser: open the page in the user's browser.
        on_start: called with the page's address once it can be opened.
        host: the address to listen on; 0.0.0.0 is for containers.
        allowed_hosts: names besides localhost and addresses by which browsers may call the server, such as a tunnel's.

    Raises:
        UserError: where there is no such model, the port is taken, the host is none of this machine, or what is allowed
            is no name.
    """
    file = find_tflite(model)
    try:
        server = DemoServer(file, unpack(file), port, host, allowed_hosts)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise UserError(
                f"--host {host}: cannot be listened on: {error.strerror}; name one of this machine"
            ) from None
        reason = "is in use" if error.errno == errno.EADDRINUSE else "is not yours to take"
        raise UserError(f"--port {port}: {reason}; name another, or none to take one that is free") from None
    except OverflowError:
        raise UserError(f"--port {port}: is none; ports go from 0 to 65535") from None
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
    """The demo's files over HTTP, by default to this machine alone. It answers GET and HEAD for a fixed list of paths.

    Args:
        file: path of a `.tflite` file.
        model: the same as `clicv2_keras.utils.tflite_file.TFLiteFile`.
        port: 0 takes one that is free.
        host: the address to listen on.
        allowed_hosts: names by which browsers may call the server, see `is_allowed`.

    Raises:
        OSError: where the port cannot be had.
        UserError: where what is allowed is no name.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        file: StrPath,
        model: TFLiteFile,
        port: int = 0,
        host: str = LOOPBACK,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        self._answering = threading.BoundedSemaphore(MOST_ANSWERING)
        self.routes = {f"/{name}": content for name, content in demo_files(file, model).items()}
        self.routes["/"] = self.routes[f"/{PAGE}"]
        self.policy = f"{content_policy()}; frame-ancestors 'none'"
        self.allowed_hosts = {"localhost", *map(_host_name, allowed_hosts)}
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        # Who waits in the queue takes no thread.
        self._answering.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._answering.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A browser that went away, or is too slow, is no fault.
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        host, port = str(self.server_address[0]), self.server_address[1]
        if ipaddress.ip_address(host).is_unspecified:
            host = LOOPBACK
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def is_allowed(self, host: str) -> bool:
        """Whether a browser may call this server so: by an address, or by a name that is allowed, at any port.

        A stranger's page may have its own name resolve to this machine, and would then be of one origin with the demo.
        """
        name = urlsplit(f"//{host}").hostname or ""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.allowed_hosts
        return True


def _host_name(allowed):
    """The name in what a user allows, which may be a whole address, as a tunnel prints it."""
    try:
        name = urlsplit(allowed if "://" in allowed else f"//{allowed}").hostname
        # As browsers say it.
        name = name if not name or name.isascii() else name.encode("idna").decode()
    except ValueError:
        name = None
    if not name or "*" in name:
        raise UserError(f"--allow-host {allowed}: is no name of a host; give one such as demo.example.org, no pattern")
    return name


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "clicv2-keras", ""
    timeout = SECONDS

    def do_GET(self):
        path = self.path.partition("?")[0]
        try:
            allowed = self.server.is_allowed(self.headers.get("Host", ""))
        except ValueError:  # no host at all
            allowed = False
        if not allowed:
            return self.send_error(HTTPStatus.MISDIRECTED_REQUEST, explain="Name this host by --allow-host.")
        if path not in self.server.routes:
            return self.send_error(HTTPStatus.NOT_FOUND)
        body = self.server.routes[path]()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", TYPES.get(Path(path).suffix, TYPES[".html"]))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            # Piece by piece: the timeout is of one call, however much there is to send.
            for start in range(0, len(body), PIECE):
                self.wfile.write(body[start : start + PIECE])

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
