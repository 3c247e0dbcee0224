"""What every verb makes of bad input: one line, the documented exit code, nothing lost. A new verb joins by a line."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import clicv2_keras
from clicv2_keras.cli.main import COMMANDS, main

SCRIPT = Path(sys.executable).parent / "clicv2-keras"
# A verb's arguments around what it reads, and the function that does the work.
VERBS = {
    "prepare": (["{}", "out"], "prepare"),
    "train": (["clicv2_vit_tiny", "--set", "data.path={}", "--set", "run.dir=out"], "train"),
    "evaluate": (["--dataset", "csv", "--root", "{}", "--output", "out"], "evaluate"),
    "finetune": (["--dataset", "csv", "--root", "{}", "--output", "out.keras"], "finetune"),
    "ablate": (["clicv2_vit_tiny", "--rows", "mem", "--set", "data.path={}", "--output", "out"], "ablate"),
    "export": (["{}", "--output", "out.tflite"], "export"),
    "explain": (["{}", "--output", "out"], "explain"),
    "recipe": (["{}"], None),
    "score": (["{}", "--output", "out.csv"], "score_to_file"),
    "select": (["{}", "--output", "out.txt"], None),
    "benchmark": (["--images", "{}"], "benchmark"),
    "demo": (["--model", "{}", "--no-browser"], "demo"),
}
# It reads nothing of the user's.
NO_INPUT = {"models"}
# They go through many files: what cannot be read is told in its row, and the call ends with 1.
ROWS = ("score", "explain")


def make_inputs():
    """Bad inputs in the working folder, by what is bad about them."""
    Path("empty").touch()
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    names = {"line break": "a\nb", "escape": "\x1b[31mred", "quote": 'it\'s "so"', "not unicode": os.fsdecode(b"\xff")}
    return {name: name for name in ("missing", "empty", "folder", "pipe", "loop")} | names | {"dash": "./-x"}


INPUTS = ("missing", "empty", "folder", "pipe", "loop", "line break", "escape", "quote", "not unicode", "dash")


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """A working folder of one's own, and an alarm: nothing may wait for ever."""
    monkeypatch.chdir(tmp_path)
    previous = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


def call(verb, value):
    arguments, _ = VERBS[verb]
    return CliRunner().invoke(main, [verb, *(argument.replace("{}", value) for argument in arguments)])


def test_every_verb_is_here():
    assert set(VERBS) == set(COMMANDS) - NO_INPUT


@pytest.mark.parametrize("bad", INPUTS)
@pytest.mark.parametrize("verb", VERBS)
def test_bad_input_is_one_line_and_leaves_nothing(at_work, verb, bad):
    there = set(os.listdir()) if (inputs := make_inputs()) else None
    result = call(verb, inputs[bad])
    if (verb, bad) == ("recipe", "empty"):  # which is a recipe, of nothing but defaults
        assert result.exit_code == 0
        return
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == (1 if verb in ROWS else 2), result.output
    assert "Traceback" not in result.output
    if verb in ROWS:
        # Where the file goes on in rows, these are what is left.
        assert (
            (Path("out.csv").read_bytes().count(b"error") == 1) if verb == "score" else result.stderr.count("\n") == 1
        )
    else:
        assert result.stdout == "" and result.stderr.count("\n") == 1 and result.stderr.startswith("Error: ")
        assert set(os.listdir()) == there
    assert "\x1b" not in result.stderr


def test_no_number_of_any_verb_is_nan_or_infinite():
    numbers = [
        parameter
        for verb in COMMANDS
        for parameter in main.get_command(None, verb).params
        if isinstance(parameter.type, type(click.FLOAT))
    ]
    assert {"least", "price", "min_area", "steadiness"} <= {parameter.name for parameter in numbers}
    for parameter in numbers:
        assert parameter.type.convert("0.5", parameter, None) == 0.5
        for text in ("nan", "inf", "-inf"):
            with pytest.raises(click.BadParameter):
                parameter.type.convert(text, parameter, None)


@pytest.mark.parametrize("verb", [verb for verb, (_, function) in VERBS.items() if function])
def test_ctrl_c_ends_with_130(at_work, monkeypatch, verb):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(clicv2_keras, VERBS[verb][1], interrupted)
    result = call(verb, "missing")
    assert result.exit_code == 130 and result.stderr.startswith("stopped") and result.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", ["evaluate", "finetune", "export", "explain", "ablate", "prepare"])
def test_a_place_that_cannot_be_written_to_is_told_before_the_work(at_work, monkeypatch, verb):
    arguments, _ = VERBS[verb]
    place = {"out": "/proc/out", "out.keras": "/proc/out.keras", "out.tflite": "/proc/out.tflite"}
    Path("table.csv").write_text("file,score\na.jpg,0.1\nb.jpg,0.2\n")
    monkeypatch.setattr("clicv2_keras.utils.images.decode_image", lambda *_, **__: pytest.fail("it went to work"))
    value = {"evaluate": "table.csv", "finetune": "table.csv", "export": "default"}.get(verb, "folder")
    result = CliRunner().invoke(main, [verb, *(place.get(a, a).replace("{}", value) for a in arguments)])
    assert result.exit_code in (1, 2) and "/proc/out" in result.stderr and result.stderr.count("\n") == 1


def shell(line, **options):
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, **options)


def test_where_no_temporary_file_can_be_made_standard_output_is_not_blamed(monkeypatch):
    monkeypatch.setattr("click.Group.invoke", lambda *_: (_ for _ in ()).throw(FileNotFoundError(2, "No usable place")))
    result = CliRunner().invoke(main, ["recipe"])
    assert (result.exit_code, result.stderr) == (1, "Error: No usable place\n")


@pytest.mark.parametrize("words", ["recipe", "recipe quickstart", "--help", "--version", "score ."])
def test_a_full_disk_behind_stdout_is_one_line(photos, words):
    result = shell(f"{SCRIPT} {words} > /dev/full", cwd=photos)
    assert result.returncode == 1
    assert result.stderr == "Error: standard output: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_break_nothing(photos, closed):
    result = shell(f"{SCRIPT} score a.jpg --output rows.csv {closed}", cwd=photos)
    assert result.returncode == 0 and "Traceback" not in result.stderr
    assert (photos / "rows.csv").read_text().count("\n") == 2
    result = shell(f"{SCRIPT} recipe quickstart {closed}", cwd=photos)
    assert result.returncode == (1 if ">&- " in f"{closed} " and closed != "2>&-" else 0)
    assert "Traceback" not in result.stderr and result.stderr.count("\n") <= 1


def test_a_list_on_a_closed_stdin_names_nothing(photos):
    result = shell(f"{SCRIPT} score - <&-", cwd=photos)
    assert result.returncode == 2 and "no image is named" in result.stderr


def test_an_encoding_without_our_letters_is_no_error(tmp_path):
    result = shell(f"PYTHONIOENCODING=cp1252 {SCRIPT} recipe > text", cwd=tmp_path)
    assert result.returncode == 0 and "Traceback" not in result.stderr


@pytest.mark.skipif(not shutil.which("setpriv") or os.geteuid() != 0, reason="root reads all: its rights must go first")
@pytest.mark.parametrize("verb", ["score", "explain", "prepare", "evaluate"])
def test_what_may_not_be_read_is_one_line(photos, verb):
    (photos / "a.jpg").chmod(0)
    (photos / "table.csv").write_text("file,score\na.jpg,1\n")
    (photos / "table.csv").chmod(0)
    arguments, _ = VERBS[verb]
    value = {"evaluate": "table.csv", "prepare": "list.txt"}.get(verb, "a.jpg")
    (photos / "list.txt").write_text("a.jpg\n")
    words = " ".join(argument.replace("{}", value) for argument in arguments)
    mine = "setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-all"
    result = shell(f"{mine} {SCRIPT} {verb} {words}", cwd=photos)
    assert result.returncode == (2 if verb == "prepare" else 1), result.stderr
    told = (photos / "out.csv").read_text() if verb == "score" else result.stderr
    assert "Traceback" not in result.stderr and any(why in told for why in ("Permission denied", "can be read"))


@pytest.mark.parametrize("verb", ["prepare", "train", "explain", "score", "ablate"])
def test_the_home_folder_is_where_the_user_means(photos, monkeypatch, verb):
    """`--output=~/x` reaches a program as it is: the shell only knows a `~` that a word begins with."""
    monkeypatch.setenv("HOME", str(photos.parent))
    monkeypatch.chdir(photos.parent)
    seen = {}
    monkeypatch.setattr(
        "clicv2_keras.training.run_folder.FolderLock", lambda path: seen.setdefault("run", path) and 1 / 0
    )
    monkeypatch.setattr("clicv2_keras.ablation.run.OutputFolder", lambda path: seen.setdefault("run", path) and 1 / 0)
    arguments = [a.replace("=out", "=~/out") if "=" in a else a for a in VERBS[verb][0]]
    arguments = [f"~/{a}" if a.startswith("out") else a.replace("{}", "~/photos") for a in arguments]
    result = CliRunner().invoke(main, [verb, *arguments])
    assert not (photos.parent / "~").exists() and not (photos / "~").exists(), result.output
    assert seen.get("run") == photos.parent / "out" if verb in ("train", "ablate") else result.exit_code == 0
