"""`clicv2-keras score` and `benchmark` as a user meets them: in a process, on a pipe and on a terminal."""

import csv
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from clicv2_keras.cli.main import main
from clicv2_keras.utils.procedural import procedural_image

SCRIPT = Path(sys.executable).parent / "clicv2-keras"


def call(*arguments, **options):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], **options)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Three images in `photos`, the working folder above it."""
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for seed, name in enumerate(("a.jpg", "b.png", "more/a.jpg")):
        Image.fromarray(procedural_image(4 + seed, 60)[0][:40]).save(tmp_path / "photos" / name)
    monkeypatch.chdir(tmp_path)
    return Path("photos")


def on_a_terminal(*arguments):
    """Run with stdout and stderr on a terminal; returns the exit code and all that appeared there."""
    control, terminal = pty.openpty()
    process = subprocess.Popen([SCRIPT, *map(str, arguments)], stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(control, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(control)
    return process.wait(timeout=60), shown.decode()


def test_a_pipe_gets_csv(photos):
    result = subprocess.run([SCRIPT, "score", photos], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [row["file"] for row in rows] == ["photos/a.jpg", "photos/b.png", "photos/more/a.jpg"]
    assert all(0 < float(row["score"]) < 1 for row in rows)
    assert {(row["width"], row["height"], row["error"]) for row in rows} == {("60", "40", "")}
    assert len({row["score"] for row in rows}) == 3


def test_a_terminal_gets_a_table(photos):
    (photos / "bad\x1b[2J.jpg").write_text("text")
    code, shown = on_a_terminal("score", photos)
    assert code == 1
    header, *rows = shown.replace("\r\n", "\n").splitlines()
    assert header.split() == ["score", "pixels", "file"]
    assert rows[0].split()[1:] == ["60", "×", "40", "photos/a.jpg"]
    assert "bad\N{REPLACEMENT CHARACTER}[2J.jpg: not an image that Pillow can read" in rows[2]
    assert "\x1b[2J" not in shown
    assert len({row.index("photos") for row in rows if "bad" not in row}) == 1


def test_a_terminal_sees_the_progress_of_a_file(photos):
    code, shown = on_a_terminal("score", *["photos"] * 100, "--output", "rows.csv")
    assert code == 0
    assert "of 300 images" in shown and "/s" in shown and " left" in shown
    assert shown.endswith("\r\x1b[K300 scored, 0 failed: rows.csv\r\n")
    assert len(Path("rows.csv").read_text().splitlines()) == 301


def test_a_list_on_standard_input_and_a_quoted_glob(photos):
    result = call("score", "-", "photos/*.png", input="photos/more\n\nphotos/none.jpg\n")
    assert result.exit_code == 1
    assert [line.split(",")[0] for line in result.stdout.splitlines()[1:]] == [
        "photos/more/a.jpg",
        "photos/none.jpg",
        "photos/b.png",
    ]
    assert result.stdout.splitlines()[2] == "photos/none.jpg,,,,no such file"


def test_mistakes_are_one_line_and_exit_2(photos):
    Path("model.keras").touch()
    for arguments, parts in (
        (["--output", "rows.txt"], ["rows.txt", ".csv, .jsonl or .parquet"]),
        (["--output", "none/rows.csv"], ["none/rows.csv", "there is no folder none"]),
        (["--resume"], ["--output"]),
        (["--model", "model.keras"], ["clicv2-keras export model.keras --format tflite"]),
        (["--model", "photos/a.jpg"], ["photos/a.jpg", "no TFLite model"]),
        (["--maps", "photos/a.jpg"], ["--maps", "cannot be written to"]),
        (["--engine", "ray"], ["--engine ray", "--output"]),
        (["--engine", "ray", "--output", "scores", "--maps", "maps"], ["--maps", "local engine"]),
        (["--engine", "ray", "--output", "photos"], ["--output photos", "no data set of scores"]),
        (["--engine", "ray", "--output", "scores", "--column", "jpg"], ["--column jpg", "no Parquet"]),
        (["--price", "1"], ["--price", "--engine ray"]),
        (["--stride", "8"], ["--stride", "--tile"]),
    ):
        result = call("score", "photos", *arguments)
        assert result.exit_code == 2, result.output
        assert result.stdout == "" and result.stderr.count("\n") == 1 and result.stderr.startswith("Error: ")
        assert all(part in result.stderr for part in parts)
    assert not list(Path().glob("scores*"))
    result = call("score", "-", input="\n\n")
    assert (result.exit_code, result.stdout) == (2, "") and "no image is named" in result.stderr
    assert call("score").exit_code == 2
    assert call("score", "photos", "--workers", "0").exit_code == 2


def test_without_ray_its_engine_says_what_to_install(photos, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = call("score", "photos", "--engine", "ray", "--output", "scores")
    assert result.exit_code == 2 and "--engine ray: needs ray; pip install '.[ray]'" in result.stderr
    assert not Path("scores").exists()


@pytest.mark.parametrize("ending", ["csv", pytest.param("parquet", marks=pytest.mark.slow)])
def test_resume_goes_on_after_a_kill(photos, ending):
    command = [SCRIPT, "score", *["photos"] * 60]
    subprocess.run([*command, "--output", f"whole.{ending}"], check=True, capture_output=True, timeout=60)
    rows = Path(f"rows.{ending}.partial" if ending == "parquet" else f"rows.{ending}")
    process = subprocess.Popen([*command, "--output", f"rows.{ending}"])
    until = time.monotonic() + 300
    while not (rows.exists() and rows.stat().st_size > 1000) and time.monotonic() < until:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = rows.read_bytes()
    assert 0 < before.count(b"\n") < 180
    finish = subprocess.run([*command, "--output", f"rows.{ending}", "--resume"], capture_output=True, timeout=60)
    assert finish.returncode == 0 and b"180 scored, 0 failed" in finish.stderr
    assert Path(f"rows.{ending}").read_bytes() == Path(f"whole.{ending}").read_bytes()


def test_an_interrupt_says_how_to_go_on(photos):
    command = [SCRIPT, "score", *["photos"] * 10000, "--output", "rows.csv"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 300
    while not (Path("rows.csv").exists() and Path("rows.csv").stat().st_size > 500) and time.monotonic() < until:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130
    assert stderr == "stopped; the same command with --resume goes on\n"
    assert Path("rows.csv").read_bytes().endswith(b"\n")


def test_a_reader_that_leaves_ends_it_quietly(photos):
    command = f"{SCRIPT} score {'photos ' * 500} | head -2"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert result.stdout.count("\n") == 2 and result.stderr == ""


def test_benchmark_names_its_figures(photos, monkeypatch):
    from clicv2_keras.deployment.scoring import measurement

    monkeypatch.setattr(measurement.benchmark, "__defaults__", ("default", None, 0.02))
    for arguments, images in (([], "4 drawn JPEGs of 1600 x 1200"), (["--images", "photos"], "3 images")):
        result = call("benchmark", *arguments)
        assert result.exit_code == 0, result.output
        lines = dict((line[:22].strip(), line[22:]) for line in result.stdout.splitlines())
        assert lines["images"] == images
        for name, unit in {"load": "ms", "decode": "ms an image", "invoke": "ms an image", "memory": "MB"}.items():
            assert float(lines[name].split()[0]) > 0 and unit in lines[name]
        assert float(lines["1 worker"].split()[0].replace(",", "")) > 0
    Path("empty").mkdir()
    result = call("benchmark", "--images", "empty")
    assert result.exit_code == 2 and "no image that can be read" in result.stderr
