import csv

import pytest

from clicv2_keras.utils.atomic_files import atomic_write, write_csv, write_text


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_a_write_that_breaks_off_leaves_the_file_as_it_was_and_nothing_else(tmp_path, fault):
    write_text(tmp_path / "a.txt", "before")
    with pytest.raises(type(fault)), atomic_write(tmp_path / "a.txt") as unfinished:
        unfinished.write_text("half")
        raise fault
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"


def test_a_cell_may_hold_line_breaks_of_any_kind(tmp_path):
    rows = [["a\rb", 1.5], ["c\nd", None], ['e"f,g', "h\r\ni"]]
    write_csv(tmp_path / "table.csv", ("name", "value"), rows)
    with open(tmp_path / "table.csv", newline="") as file:
        header, *found = csv.reader(file)
    assert found == [["a\rb", "1.5"], ["c\nd", ""], ['e"f,g', "h\r\ni"]]
    assert (tmp_path / "table.csv").read_bytes().endswith(b'"\n')
