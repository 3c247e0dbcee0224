import pytest

from clicv2_keras.recipe.files import load_recipe
from clicv2_keras.training.run_folder import RunFolder
from clicv2_keras.utils.errors import UserError

BROKEN = (b"", b"null", b"[" * 3000, b"a: 2024-02-30", b"\xff\xfe", b"step,loss\nx,y\n", b"a,b\n1,2\n")


@pytest.fixture
def folder(tmp_path, one_image):
    overrides = [f"run.dir={tmp_path / 'run'}", "data.source=folder", f"data.path={one_image}"]
    folder = RunFolder(load_recipe("quickstart", overrides))
    assert folder.open(resume=False) == (0, [])
    return folder


def test_a_full_disk_is_told_with_its_file_and_leaves_the_rows(folder):
    folder.add_row({"step": 1, "loss": 0.5})
    before = (folder.path / "metrics.csv").read_bytes()
    (folder.path / "unfinished_metrics.csv").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        folder.add_row({"step": 2, "loss": 0.4})
    assert caught.value.filename == str(folder.path / "metrics.csv")
    assert (folder.path / "metrics.csv").read_bytes() == before
    assert not list(folder.path.glob("unfinished*"))


def test_rows_after_the_checkpoint_are_told_anew(folder):
    folder.add_row({"step": 1, "loss": 0.5})
    folder.close()
    again = RunFolder(folder.recipe)
    assert again.open(resume=True) == (0, [])
    assert again.rows == []


def test_rows_are_numbers_and_the_same_when_read_again(folder):
    folder.add_row({"step": 1, "loss": 1 / 3, "probe_srcc": float("nan"), "not_a_column": 1.0})
    assert folder.rows[0]["loss"] == 1 / 3 and set(folder.rows[0]) == {"step", "loss", "probe_srcc"}
    text = (folder.path / "metrics.csv").read_text()
    assert text.splitlines()[1].startswith("1,0.333333,,")
    (folder.checkpoints.folder).mkdir()
    folder.checkpoints.path(1).touch()
    folder.close()
    again = RunFolder(folder.recipe)
    again.checkpoints.set_broken_aside = lambda: []
    assert again.open(resume=True) == (1, [])
    assert again.rows[0]["step"] == 1 and again.rows[0]["loss"] == 0.333333
    assert (folder.path / "metrics.csv").read_text() == text


def test_only_the_first_process_writes(folder):
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    other = RunFolder(folder.recipe, process=1)
    other.add_row({"step": 1, "loss": 0.5})
    other.write("diverged.txt", "")
    other.save(None, "model.keras")
    other.save_checkpoint(None, 1)
    other.plot()
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


def test_two_processes_do_not_train_in_one_folder(folder):
    with pytest.raises(UserError, match="another process is at work there"):
        RunFolder(folder.recipe).open(resume=True)
    folder.close()
    assert RunFolder(folder.recipe).open(resume=True) == (0, [])


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[" * 3000, b"a: 2024-02-30", b"\xff\xfe", b"step,loss\nx,y\n", b"a,b\n1,2\n"]
)
@pytest.mark.parametrize("name", ["recipe.yaml", "metrics.csv"])
def test_a_broken_file_of_a_run_is_one_line(folder, name, content):
    folder.close()
    (folder.path / name).write_bytes(content)
    again = RunFolder(folder.recipe)
    if name == "metrics.csv" and content in BROKEN[:4]:
        assert again.open(resume=True) == (0, []) and again.rows == []  # a header alone
        return
    with pytest.raises(UserError, match=f"{name}: is broken; move it away"):
        again.open(resume=True)
    again.close()


@pytest.mark.parametrize("name", ["metrics.csv", "log.txt", "inputs.json", "encoder.keras"])
def test_a_file_of_somebody_else_is_neither_replaced_nor_removed(folder, tmp_path, name):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / name).write_text("theirs")
    recipe = folder.recipe.model_copy(
        update={"run": folder.recipe.run.model_copy(update={"dir": str(tmp_path / "theirs")})}
    )
    with pytest.raises(UserError, match=f"run.dir: holds a {name} but no run; name another folder"):
        RunFolder(recipe).open(resume=True)
    assert [(path.name, path.read_text()) for path in (tmp_path / "theirs").iterdir()] == [(name, "theirs")]


def test_a_run_that_cannot_be_opened_locks_nobody_out(folder):
    folder.close()
    (folder.path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="is broken; move it away") as kept:
        RunFolder(folder.recipe).open(resume=True)
    (folder.path / "metrics.csv").unlink()
    assert RunFolder(folder.recipe).open(resume=True) == (0, []) and kept.value


def test_a_name_is_no_formula_to_the_plot(folder):
    folder.add_row({"step": 1, "loss": 0.5})
    folder.recipe = folder.recipe.model_copy(update={"name": "$x_$y \\frac"})
    folder.plot()
    assert (folder.path / "losses.png").stat().st_size > 0
