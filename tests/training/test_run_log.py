import logging

import pytest

from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.run_folder import RunFolder
from clicv2_keras.training.run_log import run_log
from clicv2_keras.utils.display import Display

log = logging.getLogger("clicv2_keras.training.some_module")


def folder(path, process=0):
    return RunFolder(load_recipe("quickstart", [f"run.dir={path}"]), process)


def test_the_file_gets_all_lines_and_the_screen_those_that_matter(tmp_path, capsys):
    with run_log(Display(1), folder(tmp_path)):
        log.debug("a detail")
        log.info("what [b]matters[/b]")
    log.info("what comes after the run")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line[21:] for line in lines] == ["a detail", "what [b]matters[/b]"]
    assert capsys.readouterr().out == "what [b]matters[/b]\n"


def test_other_processes_tell_it_on_stderr(tmp_path, capsys):
    with run_log(Display(1), folder(tmp_path, process=2)):
        log.debug("a detail")
    assert capsys.readouterr().err == "process 2: a detail\n" and not list(tmp_path.iterdir())


def test_a_full_disk_is_told_with_its_file(tmp_path):
    (tmp_path / "log.txt").symlink_to("/dev/full")
    with (
        run_log(Display(1, enabled=False), folder(tmp_path)),
        pytest.raises(OSError, match="No space left on device") as caught,
    ):
        log.info("a line")
    assert caught.value.filename == str(tmp_path / "log.txt")
