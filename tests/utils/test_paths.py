import os
import pathlib

import pytest

from clicv2_keras.utils import paths
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.paths import FolderLock, check_writable, check_writable_folder, user_path


def test_only_a_users_home_is_put_in_for_a_tilde():
    assert user_path("~/a") == pathlib.Path.home() / "a"
    for name in ("~nobody-of-this-name/a", "~scores.csv"):
        assert user_path(name) == pathlib.Path(name)


@pytest.mark.parametrize("url", ["s3://bucket/maps", "gs://bucket/shards", "file:///tmp/a", pathlib.Path("s3://b/c")])
def test_a_url_is_no_folder_of_that_name(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--output .*: is a URL; name a place on this machine"):
        check_writable(url)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["a:b/c", "photos/s3:/c", "C:/photos", "~/maps", "new/folder"])
def test_what_only_looks_like_one_can_be_written_to(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    check_writable(path)


def test_a_name_that_no_file_can_have_is_one_line(tmp_path):
    for check in (check_writable, check_writable_folder):
        with pytest.raises(UserError, match="cannot be written: File name too long; name another place"):
            check(tmp_path / ("x" * 300))
        # Of a file that is not whole yet the name is longer.
        with pytest.raises(UserError, match="cannot be written: File name too long"):
            check(tmp_path / ("x" * 249))
        check(tmp_path / ("x" * 244))


def test_a_lock_that_was_removed_while_it_was_waited_for_keeps_nobody_out(tmp_path, monkeypatch):
    def removed(file, place, lock=paths.lock):
        monkeypatch.undo()
        os.unlink(file.name)
        lock(file, place)

    monkeypatch.setattr(paths, "lock", removed)
    with FolderLock(tmp_path), pytest.raises(UserError, match="another process is at work there"):
        FolderLock(tmp_path)
    assert not list(tmp_path.iterdir())
