"""The demo's server, as a browser and as a stranger would ask it."""

import http.client
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from clicv2_keras.deployment.demo import server as server_module
from clicv2_keras.deployment.demo.files import FOLDER, SAMPLES
from clicv2_keras.deployment.demo.server import DemoServer
from clicv2_keras.utils.images import open_rgb
from clicv2_keras.utils.package_data import trained_presets
from clicv2_keras.utils.tflite_file import unpack

SCRIPT = Path(sys.executable).parent / "clicv2-keras"


def ask(url, path, method="GET", host=None, body=None):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.putrequest(method, path, skip_host=host is not None)
    if host:
        connection.putheader("Host", host)
    connection.putheader("Content-Length", str(len(body or b"")))
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer, answer.read()


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/scorer.js?version=1", "text/javascript; charset=utf-8"),
        ("/litert/litert_wasm_compat_internal.wasm", "application/wasm"),
        ("/card.txt", "text/plain; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/model.json", "application/json"),
        ("/samples/0.png", "image/png"),
    ],
)
def test_every_kind_of_file_has_its_type_and_the_policy(url, path, kind):
    answer, body = ask(url, path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
    assert int(answer.headers["Content-Length"]) == len(body) > 0
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy and "http" not in policy
    assert ask(url, path, "HEAD")[1] == b""


def test_it_serves_the_shipped_model_its_metadata_and_six_different_samples(url):
    shipped = trained_presets()["default"] / "dynamic.tflite"
    assert ask(url, "/model.tflite")[1] == shipped.read_bytes()
    assert json.loads(ask(url, "/model.json")[1])["name"] == trained_presets()["default"].name
    samples = {open_rgb(ask(url, f"/samples/{i}.png")[1]).tobytes() for i in range(len(SAMPLES))}
    assert len(samples) == 6


@pytest.mark.parametrize(
    "path", ["/../run.py", "/..%2frun.py", "/%2e%2e/run.py", "//etc/passwd", "/litert/../../errors.py", "/page/", "/x"]
)
def test_nothing_else_can_be_had(url, path):
    assert ask(url, path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_is_taken(url, method):
    answer, _ = ask(url, "/", method, body=b"a picture")
    assert answer.status == 405 and "Content-Security-Policy" in answer.headers


def test_a_name_that_a_stranger_points_here_is_refused(url):
    assert ask(url, "/model.tflite", host="evil.example")[0].status == 421
    # By an address or as localhost it may be called, at whatever port a tunnel begins.
    for host in (f"localhost:{urlsplit(url).port}", "localhost:9000", "127.0.0.1", "[::1]:80"):
        assert ask(url, "/", host=host)[0].status == 200
    for host in ("", "[", "127.0.0.1.evil.example"):
        assert ask(url, "/", host=host)[0].status == 421


def test_a_tunnels_name_can_be_allowed_and_all_addresses_listened_on():
    allowed = ["Demo.Example", "with.port.example:8000", "https://tunnel.example/", "bücher.example"]
    command = [SCRIPT, "demo", "--no-browser", "--host", "0.0.0.0", *(f"--allow-host={name}" for name in allowed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        for host in ("demo.example", "with.port.example:8000", "tunnel.example"):
            assert ask(url, "/", host=host)[0].status == 200
        assert ask(url, "/", host="evil.example")[0].status == 421
        port = urlsplit(url).port
        assert ask(f"http://127.0.0.2:{port}/", "/")[0].status == 200
        process.send_signal(signal.SIGINT)


def test_it_listens_on_loopback_only(url):
    port = urlsplit(url).port
    with socket.socket() as other:
        other.settimeout(2)
        # The rest of 127.0.0.0/8 reaches a server that listens everywhere, and none that listens on 127.0.0.1.
        with pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", port))


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--model", "nowhere.tflite"], "nowhere.tflite: there is no such file"),
        (["--model", "unheard"], "no trained preset"),
        (["--port", "{taken}"], "--port {taken}: is in use"),
        (["--host", "192.0.2.1"], "--host 192.0.2.1: cannot be listened on"),
        (["--allow-host", "*.example"], "--allow-host *.example: is no name of a host"),
    ],
)
def test_a_mistake_is_one_line(url, arguments, said):
    taken = str(urlsplit(url).port)
    command = [SCRIPT, "demo", "--no-browser", *(a.replace("{taken}", taken) for a in arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert result.returncode == 2 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert said.replace("{taken}", taken) in line


def test_who_is_silent_or_hangs_up_costs_neither_the_others_nor_a_traceback(monkeypatch, capfd):
    monkeypatch.setattr(server_module._Handler, "timeout", 0.5)
    monkeypatch.setattr(server_module, "MOST_ANSWERING", 4)
    model = trained_presets()["default"] / "dynamic.tflite"
    with DemoServer(model, unpack(model)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = server.server_address[:2]
        before = threading.active_count()
        silent = [socket.create_connection(place) for _ in range(12)]
        # Hangs up at once, and in the middle of an answer.
        for request in (b"", b"GET /model.tflite HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"):
            gone = socket.create_connection(place)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.sendall(request)
            gone.close()
        assert ask(server.url, "/")[0].status == 200
        assert threading.active_count() <= before + 4
        for connection in silent:
            connection.close()
        server.shutdown()
    assert "Traceback" not in capfd.readouterr().err


def test_who_is_slow_has_all_in_the_end(monkeypatch):
    monkeypatch.setattr(server_module._Handler, "timeout", 0.5)
    file = trained_presets()["default"] / "dynamic.tflite"
    with DemoServer(file, unpack(file)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
            slow.connect(server.server_address[:2])
            slow.sendall(b"GET /model.tflite HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            received, begin = 0, time.monotonic()
            while piece := slow.recv(2**16):
                received += len(piece)
                time.sleep(0.01)
        assert received > file.stat().st_size and time.monotonic() - begin > 2 * server_module._Handler.timeout
        server.shutdown()


def test_the_light_core_is_enough():
    heavy = {"keras", "tensorflow", "jax", "torch", "matplotlib", "sklearn", "skimage", "scipy", "pydantic"}
    code = f"import sys, clicv2_keras.deployment.demo.server; sys.exit(' '.join({heavy} & set(sys.modules)) or None)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_runtime_is_here_with_its_licence_as_its_readme_lists_it():
    listed = (FOLDER / "litert" / "README.md").read_text()
    for file in (FOLDER / "litert").iterdir():
        if file.suffix in (".js", ".wasm"):
            assert f"| `{file.name}` |" in listed and f"{file.stat().st_size:,}" in listed
    assert "Apache License" in (FOLDER / "litert" / "LICENSE").read_text()
