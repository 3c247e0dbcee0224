"""What is given away works alone: the sdist, the wheel that comes of it, and the steps of the Dockerfile."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
ALONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(*command, cwd, **more):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=cwd, env=ALONE, **more)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_sdist_and_wheel_are_valid_and_the_wheel_scores_alone(photos, tmp_path):
    tracked = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    (tmp_path / "checkout.tar").write_bytes(tracked)
    with tarfile.open(tmp_path / "checkout.tar") as archive:
        archive.extractall(tmp_path / "checkout", filter="data")
    # Without a choice it makes the wheel of what is in the sdist.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", cwd=tmp_path / "checkout")
    sdist, wheel = sorted((tmp_path / "dist").iterdir(), key=lambda path: path.suffix)
    assert (sdist.suffix, wheel.suffix) == (".gz", ".whl")
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel, cwd=tmp_path)

    venv.create(tmp_path / "alone", with_pip=True)
    programs = tmp_path / "alone" / "bin"
    run(programs / "pip", "install", "--quiet", wheel, cwd=tmp_path)
    assert run(programs / "clicv2-keras", "score", photos, cwd=tmp_path).count("\n") == 6
    assert "guided_hybrid_tiny" in run(programs / "clicv2-keras", "models", cwd=tmp_path)


def steps_of(dockerfile):
    """The instructions and what they say, comments and broken lines put right."""
    lines = re.sub(r"^\s*#.*\n", "", dockerfile, flags=re.M).replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


@pytest.mark.slow
def test_the_dockerfiles_steps_make_an_environment_that_scores(photos, tmp_path):
    root = tmp_path / "root"
    venv.create(tmp_path / "image", with_pip=True)
    programs = tmp_path / "image" / "bin"
    path = {**ALONE, "PATH": f"{programs}{os.pathsep}{ALONE['PATH']}"}
    entry = None
    for instruction, words in steps_of(DOCKERFILE):
        if instruction == "COPY" and not words.startswith("--from"):
            source, target = words.split()
            assert source == "."
            for name in re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M):
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                (root / target[1:]).mkdir(parents=True, exist_ok=True)
                copy(ROOT / name, root / target[1:] / name)
        elif instruction == "RUN":
            here = re.sub(r"(?<=\s)/(?=src|wheels)", f"{root}/", words)
            subprocess.run(["bash", "-ec", here], check=True, env=path, cwd=tmp_path)
        elif instruction == "ENTRYPOINT":
            entry = json.loads(words)
        else:
            assert instruction in ("FROM", "COPY", "USER", "WORKDIR", "CMD")
    assert not (root / "wheels").exists()
    result = subprocess.run([*entry, "score", "."], capture_output=True, text=True, env=path, cwd=photos)
    assert result.returncode == 0 and result.stdout.count("\n") == 6, result.stderr
    listed = run(programs / "pip", "list", "--format=freeze", cwd=tmp_path).lower()
    assert "clicv2-keras" in listed and not re.search("^(keras|tensorflow|scipy)=", listed, re.M)


def test_what_the_dockerfile_leaves_out_is_not_needed_and_it_runs_as_nobody():
    kept = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M))
    assert kept >= {"clicv2_keras", "recipes", "saved_models", "pyproject.toml", "README.md", "LICENSE", "NOTICE"}
    assert all((ROOT / name).exists() for name in kept)
    steps = dict(steps_of(DOCKERFILE))
    assert steps["USER"] == "nobody" and json.loads(steps["ENTRYPOINT"]) == ["clicv2-keras"]
