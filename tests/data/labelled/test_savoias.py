"""Savoias as its repository lays it out now and formerly, and as a table."""

import pickle
import shutil
import tracemalloc
import zipfile

import numpy as np
import pytest
from draw_image import draw_image
from openpyxl import Workbook

from clicv2_keras.data.labelled.savoias import CATEGORIES, open_savoias
from clicv2_keras.data.labelled.savoias_scores import read_savoias_scores
from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.utils.errors import UserError

ART, OBJECTS, INTERIOR = [0, 100, 40], [30, 10, 20], [7.5, 0, 99]


def write_npy(path, scores):
    """As the repository has it: a pickled dictionary, every name of which ends in .png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, {i: [f"{i}.png", score] for i, score in enumerate(scores)}, allow_pickle=True)


def write_xlsx(path, scores):
    """As the repository has it: one column, headed gt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    workbook = Workbook()
    workbook.active.title = "Sheet1"
    for cell in ("gt", *scores):
        workbook.active.append([cell])
    workbook.save(path)


def draw_category(folder, kinds=("JPEG", "PNG", "JPEG"), endings=(".jpg", ".png", ".jpg")):
    for i, (kind, ending) in enumerate(zip(kinds, endings, strict=True)):
        draw_image(folder / f"{i}{ending}", kind, i)


@pytest.fixture
def root(tmp_path):
    """The repository as it is now: art in both forms, which differ; interior design as .xlsx alone."""
    root = tmp_path / "Savoias-Dataset-master"
    draw_category(root / "Images" / "Art", kinds=("PNG", "PNG", "JPEG"))
    draw_category(root / "Images" / "Objects", endings=(".jpg", ".jpg", ".png"))
    draw_category(root / "Images" / "Interior Design")
    write_npy(root / "Ground truth" / "npy" / "global_ranking_art.npy", ART)
    write_npy(root / "Ground truth" / "npy" / "global_ranking_objects.npy", OBJECTS)
    write_xlsx(root / "Ground truth" / "xlsx" / "global_ranking_art.xlsx", [1, 2, 3])
    write_xlsx(root / "Ground truth" / "xlsx" / "global_ranking_interior_design.xlsx", INTERIOR)
    write_xlsx(root / "Name_Mappings" / "Art.xlsx", [5, 6, 7])
    return root


def assert_whole(images):
    rows = dict(zip(images.source.names, zip(images.scores * 100, images.categories, strict=True), strict=True))
    expected = [("Art", "art", ART), ("Interior Design", "interior_design", INTERIOR), ("Objects", "objects", OBJECTS)]
    assert rows == {
        f"{folder}/{i}": (pytest.approx(score), category)
        for folder, category, scores in expected
        for i, score in enumerate(scores)
    }
    assert images.name == "savoias" and images.score_range == (0, 100) and images.ranked_within_category
    assert set(images.splits) == {""} and images.notes == ()
    for i, (path, name) in enumerate(zip(images.source.paths, images.source.names, strict=True)):
        assert path.parent.name == name.split("/")[0] and path.stem == name.split("/")[1]
        assert images.source.load(i).size == (24, 24)


def test_the_repository_as_it_is(root):
    assert_whole(open_savoias(root))
    assert_whole(open_savoias(root.parent))


def test_the_repository_as_it_was(root):
    old = root.parent / "old"
    for folder in (root / "Images").iterdir():
        shutil.move(folder, old / folder.name)
    rankings = old / "Art" / "global_ranking"
    write_npy(rankings / "global_ranking_art.npy", ART)
    write_xlsx(rankings / "global_ranking_mscoco.xlsx", OBJECTS)
    write_npy(rankings / "global_ranking_ikea.npy", INTERIOR)
    # Replaced since: the only .npy of objects, and another of art.
    write_npy(rankings / "global_ranking_old" / "global_ranking_mscoco.npy", [1, 2, 3])
    write_npy(rankings / "global_ranking_old" / "global_ranking_art.npy", [1, 2, 3])
    write_xlsx(rankings / "global_ranking_old" / "global_ranking_xlsx" / "ikea.xlsx", [1, 2, 3])
    assert_whole(open_savoias(old))


def test_ground_truth_of_today_goes_before_the_former(root):
    write_npy(root / "Images" / "Art" / "global_ranking" / "global_ranking_ikea.npy", [1, 2, 3])
    write_npy(root / "Images" / "Art" / "global_ranking" / "global_ranking_art.npy", [1, 2, 3])
    write_xlsx(root / "Ground truth" / "excel" / "global_ranking_objects.xlsx", [1, 2, 3])
    assert_whole(open_savoias(root))


def test_what_has_no_counterpart_is_said(root):
    (root / "Images" / "Objects" / "1.jpg").unlink()
    draw_image(root / "Images" / "Objects" / "300.jpg")
    # Two files of one number: the one that is an image is taken.
    (root / "Images" / "Objects" / "2.jpg").write_text("no image")
    (root / "Images" / "Objects" / "1.txt").write_text("no image")
    draw_image(root / "Images" / "Scenes" / "0.jpg")
    write_npy(root / "Ground truth" / "npy" / "global_ranking_vis.npy", [1])
    images = open_savoias(root)
    assert [n for n in images.source.names if n.startswith("Objects")] == ["Objects/0", "Objects/2"]
    assert images.source.paths[-1].name == "2.png" and images.scores[-2:].tolist() == [0.3, 0.2]
    assert images.notes == (
        "scenes: images without ground truth (left out)",
        "visualizations: ground truth without images (left out)",
        "2 images have no label: Images/Objects/2.jpg, Images/Objects/300.jpg",
        "1 label matches no image (left out): Objects/1",
    )


@pytest.mark.parametrize("form", ["plain", "python 2", "strings"])
def test_other_ways_of_npy(root, form):
    file = root / "Ground truth" / "npy" / "global_ranking_art.npy"
    if form == "plain":
        np.save(file, np.array(ART))
    elif form == "strings":
        np.save(file, {i + 1: (f"{i}.png", str(score)) for i, score in enumerate(ART)}, allow_pickle=True)
    else:
        value = np.empty((), object)
        value[()] = {i: [f"{i}.png", np.float64(score)] for i, score in enumerate(ART)}
        with open(file, "wb") as stream:
            np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(value))
            pickle.dump(value, stream, protocol=2, fix_imports=True)
    assert_whole(open_savoias(root))


class _Intruder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


def test_ground_truth_runs_no_strangers_code(root, tmp_path):
    np.save(
        root / "Ground truth" / "npy" / "global_ranking_art.npy", _Intruder(tmp_path / "was here"), allow_pickle=True
    )
    with pytest.raises(UserError, match=r"global_ranking_art\.npy: these are no Savoias scores \(it would load "):
        open_savoias(root)
    assert not (tmp_path / "was here").exists()


def test_a_cell_in_the_last_column_of_every_row_takes_no_memory(root):
    file = root / "Ground truth" / "xlsx" / "global_ranking_art.xlsx"
    workbook = Workbook()
    for row, score in enumerate(("gt", *range(1000)), 1):
        workbook.active.cell(row, 3, score)
        workbook.active.cell(row, 2**14, "far")
    workbook.save(file)
    tracemalloc.start()
    scores = read_savoias_scores(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scores == [(str(i), i) for i in range(1000)] and peak < 16 * 2**20


class _Calls:
    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize(
    "crash",
    [
        _Calls(np.ndarray, (1,), "O", b"\x01" * 8),
        _Calls(np.dtype, "V8"),
        _Calls(np._core.multiarray.scalar, np.dtype("O"), b"\x01" * 8),
    ],
    ids=["object from bytes", "other dtype", "object scalar"],
)
def test_ground_truth_makes_no_object_of_bytes(root, crash):
    np.save(root / "Ground truth" / "npy" / "global_ranking_art.npy", crash, allow_pickle=True)
    with pytest.raises(UserError, match=r"art\.npy: these are no Savoias scores"):
        open_savoias(root)


@pytest.mark.parametrize("many", [10**9, [[0.5] * 90_000] * 20], ids=["bytes", "one array many times"])
def test_a_small_pickle_takes_little_memory(root, many):
    reconstruct, dtype = np._core.multiarray._reconstruct, np.dtype("u1")

    class Array:
        """Pickled with any content in place of its buffer."""

        def __init__(self, content):
            self.content = content

        def __reduce__(self):
            return reconstruct, (np.ndarray, (0,), b"b"), (1, (3,), dtype, False, self.content)

    crash = Array(many) if isinstance(many, int) else [Array(each) for each in many]
    np.save(root / "Ground truth" / "npy" / "global_ranking_art.npy", crash, allow_pickle=True)
    with pytest.raises(UserError, match=r"art\.npy: these are no Savoias scores"):
        open_savoias(root)


def test_a_row_of_any_number_and_a_bomb_end_soon(root):
    file = root / "Ground truth" / "xlsx" / "global_ranking_art.xlsx"
    (root / "Ground truth" / "npy" / "global_ranking_art.npy").unlink()
    write_xlsx(file, ART)
    with zipfile.ZipFile(file) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    sheet = next(name for name in parts if "worksheets/sheet" in name)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in parts.items():
            far = b'<row r="2000000000"><c r="A2000000000"><v>1</v></c></row></sheetData>'
            archive.writestr(name, data.replace(b"</sheetData>", far) if name == sheet else data)
    assert_whole(open_savoias(root))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
        archive.writestr("bomb", b"0" * (257 * 2**20))
    with pytest.raises(UserError, match="inflates to more than 256 MB"):
        open_savoias(root)


def test_what_is_wrong_is_one_line(root, tmp_path):
    file = root / "Ground truth" / "npy" / "global_ranking_art.npy"
    whole = file.read_bytes()
    for content in (b"", b"no array", whole[:-20]):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"art\.npy: these are no Savoias scores") as error:
            open_savoias(root)
        assert "\n" not in str(error.value)
    for score in ("much", 10**400):
        write_npy(file, [score, 1, 2])
        with pytest.raises(UserError, match="the score of image 0 is no number"):
            open_savoias(root)
    write_npy(file, [101, 1, 2])
    with pytest.raises(UserError, match=r"the score of Art/0 is 101, not in \[0, 100\]"):
        open_savoias(root)
    file.unlink()
    file = root / "Ground truth" / "xlsx" / "global_ranking_art.xlsx"
    file.write_bytes(b"no workbook")
    with pytest.raises(UserError, match=r"art\.xlsx: these are no Savoias scores"):
        open_savoias(root)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("hello.txt", "no workbook either")
    with pytest.raises(UserError, match=r"art\.xlsx: these are no Savoias scores"):
        open_savoias(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="this is not Savoias; name a copy of its repository"):
        open_savoias(tmp_path / "empty")


def test_the_shared_table(real_data):
    for root in (real_data, real_data / "savoias.csv"):
        images = open_scored("savoias", root)
        assert len(images) == 992 and images.notes == () and images.ranked_within_category
    assert images.score_range == (0, 100) and images.scores.min() == 0 and images.scores.max() == 1
    assert images.source.names[0] == "savoias/advertisement/0.jpg" and images.scores[0] == 0.44
    assert set(images.categories) == set(CATEGORIES) and set(images.splits) == {"train", "val"}
    assert not open_scored("savoias", real_data, ranked_within_category=False).ranked_within_category
    val = images.subset((images.splits == "val") & (images.categories == "art"))
    assert len(val) == 84 and val.source.load(0).mode == "RGB"
