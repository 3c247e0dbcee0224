"""Images from the web, from a server on this machine: bounded in size and time, and from nowhere inside."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clicv2_keras.utils import fetch as module
from clicv2_keras.utils.fetch import fetch, is_public, is_url
from clicv2_keras.utils.images import UnreadableImage


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status=200, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name, str(value))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.asked.append(self.path)
        port = self.server.server_address[1]
        path = self.path.partition("?")[0]
        if path == "/a%20b.jpg":
            self.answer(body=b"a picture")
        elif path == "/moved":
            self.answer(302, Location="/a b.jpg?size=1")
        elif path == "/by_letters":
            self.answer(302, Location="/\u00f1.jpg".encode().decode("latin-1"))
        elif path == "/%C3%B1.jpg":
            self.answer(body=b"another")
        elif path == "/circle":
            self.answer(302, Location="/circle")
        elif path == "/inside":
            self.answer(302, Location=f"http://127.0.0.1:{port}/a%20b.jpg")
        elif path == "/file":
            self.answer(302, Location="file:///etc/passwd")
        elif path == "/large":
            self.answer(**{"Content-Length": 10**12})
        elif path == "/endless":
            self.answer(**{"Content-Length": None})
            with self.server.quiet():
                while True:
                    self.wfile.write(bytes(2**16))
        elif path == "/cut":
            self.answer(body=b"half", **{"Content-Length": 100})
        elif path == "/slow":
            self.answer(**{"Content-Length": None})
            with self.server.quiet():
                for _ in range(100):
                    self.wfile.write(b"x")
                    time.sleep(0.05)
        else:
            self.answer(404)
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []

    def quiet(self):
        import contextlib

        return contextlib.suppress(OSError)


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def url(server):
    return f"http://localhost:{server.server_address[1]}"


def test_it_gives_the_bytes_and_follows_where_they_moved(server, url):
    assert fetch(f"{url}/a b.jpg", allow_private=True) == b"a picture"
    assert fetch(f"{url}/moved", allow_private=True) == b"a picture"
    assert server.asked[-1] == "/a%20b.jpg?size=1"
    assert fetch(f"{url}/by_letters", allow_private=True) == b"another"


def test_an_address_that_swallows_packets_leaves_time_for_the_next(server, url, monkeypatch):
    connect = socket.create_connection

    def swallowing(place, timeout):
        if place[0] == "192.0.2.1":
            time.sleep(timeout)
            raise TimeoutError
        return connect(place, timeout)

    monkeypatch.setattr(module, "SECONDS", 2)
    monkeypatch.setattr(module, "_addresses", lambda *_: ["192.0.2.1", "127.0.0.1"])
    monkeypatch.setattr(socket, "create_connection", swallowing)
    assert fetch(f"{url}/a b.jpg", allow_private=True) == b"a picture"


def test_what_is_inside_is_not_asked(server, url):
    for inner in (f"{url}/a b.jpg", url.replace("localhost", "127.0.0.1"), url.replace("localhost", "[::1]")):
        with pytest.raises(UnreadableImage, match="no address of the public internet; --allow-private-urls"):
            fetch(inner)
    assert server.asked == []


def test_where_it_leads_is_judged_again(server, url, monkeypatch):
    """A name of the public internet, here a stand-in, that leads inside."""
    own, public = socket.getaddrinfo, module.is_public
    monkeypatch.setattr(module, "is_public", lambda address: address == "127.0.0.9" or public(address))
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: own("127.0.0.9" if host == "example.org" else host, *a, **k)
    )
    outside = socket.create_server(("127.0.0.9", 0))
    port = outside.getsockname()[1]

    def once():
        connection, _ = outside.accept()
        connection.recv(65536)
        connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {url}/a b.jpg\r\nContent-Length: 0\r\n\r\n".encode())

    threading.Thread(target=once, daemon=True).start()
    with pytest.raises(UnreadableImage, match="localhost is .*, no address of the public internet"):
        fetch(f"http://example.org:{port}/photo.jpg")
    assert server.asked == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/none", "the server answers 404"),
        ("/circle", "moved more than 5 times"),
        ("/file", "leads away from http and https"),
        ("/large", "1,000,000,000,000 bytes are too many: at most 64 MB"),
        ("/endless", "larger than 64 MB"),
        ("/cut", "cut off"),
    ],
)
def test_what_is_wrong_is_one_line(url, path, says):
    with pytest.raises(UnreadableImage, match=says) as error:
        fetch(url + path, allow_private=True)
    assert "\n" not in str(error.value)


def test_a_drip_ends_in_time(url, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(UnreadableImage, match="longer than 0 seconds|longer than 1 seconds"):
        fetch(f"{url}/slow", allow_private=True)
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("wrong", ["http://", "http://[", "http://localhost:99999/", "https://nowhere.invalid/a.jpg"])
def test_a_url_that_is_none_is_one_line(wrong):
    with pytest.raises(UnreadableImage):
        fetch(wrong)


def test_a_server_without_encryption_is_no_https(server, url):
    with pytest.raises(UnreadableImage, match="cannot be fetched"):
        fetch(url.replace("http:", "https:"), allow_private=True)


@pytest.mark.parametrize(
    "address",
    "127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 ::1 :: "
    "fe80::1%eth0 fc00::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe "
    "2002:7f00:1:: 2002:c0a8:101:: fec0::1 64:ff9b:1::a00:1".split(),
)
def test_no_address_of_an_inner_network_is_public(address):
    assert not is_public(address)


def test_others_are():
    assert all(map(is_public, ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e")))
    assert is_url("HTTPS://example.org/a.jpg") and not is_url("photos/a.jpg") and not is_url("ftp://example.org/a.jpg")
