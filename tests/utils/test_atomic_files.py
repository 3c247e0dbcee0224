import pytest

from clicv2_keras.utils.atomic_files import atomic_write, write_text


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_a_write_that_breaks_off_leaves_the_file_as_it_was_and_nothing_else(tmp_path, fault):
    write_text(tmp_path / "a.txt", "before")
    with pytest.raises(type(fault)), atomic_write(tmp_path / "a.txt") as unfinished:
        unfinished.write_text("half")
        raise fault
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"
