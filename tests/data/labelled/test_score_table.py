import unicodedata

import numpy as np
import pytest
from draw_image import draw_image

from clicv2_keras.data.labelled.score_table import open_score_table
from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.utils.errors import UserError


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(("a.jpg", "b.png", "more/c.jpg", "more/d.jpg")):
        draw_image(tmp_path / name, "PNG" if seed % 2 else "JPEG", seed)
    return tmp_path


def write(folder, *lines):
    (folder / "mine.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "mine.csv"


def test_all_columns(folder):
    table = write(
        folder,
        "Score,FILE, Category ,split,colour",
        "0.5,a.jpg,x,train,red",
        '1,b.png,"x, y",,',
        "",
        "0,more/c.jpg,,val,",
    )
    images = open_score_table(table)
    assert images.name == "mine" and images.source.names == ["a.jpg", "b.png", "more/c.jpg"]
    assert images.scores.dtype == "float64" and images.scores.tolist() == [0.5, 1, 0] and images.score_range == (0, 1)
    assert images.categories.tolist() == ["x", "x, y", ""] and images.splits.tolist() == ["train", "", "val"]
    assert images.notes == ("1 image has no label: more/d.jpg",)
    assert not images.ranked_within_category
    assert np.array_equal(images.source.load(1), open_score_table(table).source.load(1))


def test_a_table_may_name_what_is_below_home(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    (tmp_path / "elsewhere").mkdir()
    data = open_score_table(write(tmp_path / "elsewhere", "file,score", "~/a.jpg,0.1", "~/b.png,0.9"))
    assert data.source.paths == [folder / "a.jpg", folder / "b.png"]


def test_scores_of_another_range(folder):
    table = write(folder, "file,score", "more/c.jpg,-5", "more/d.jpg,15", "more/e.jpg,5")
    images = open_score_table(table)
    assert images.scores.tolist() == [0, 1] and images.score_range == (-5, 15)
    assert images.categories.tolist() == ["", ""] and images.splits.tolist() == ["", ""]
    assert images.source.paths == [folder / "more/c.jpg", folder / "more/d.jpg"]
    assert images.notes == (
        "scores run from -5 to 15: taken as the ends of their range",
        "1 label matches no image (left out): more/e.jpg",
    )


def test_another_ending_takes_no_image_that_is_named_in_full(folder):
    table = write(folder, "file,score", "b.jpg,0", "b.png,1", "a.png,0.5")
    images = open_score_table(table)
    assert images.source.names == ["b.png", "a.png"] and images.scores.tolist() == [1, 0.5]
    assert [path.name for path in images.source.paths] == ["b.png", "a.jpg"]
    assert images.notes == ("1 label matches no image (left out): b.jpg",)


def test_a_name_with_a_dot_and_no_ending_takes_no_other_image(folder):
    draw_image(folder / "0.jpg")
    images = open_score_table(write(folder, "file,score", "0.5,0.1", "a.jpg,0.2", "b.JPG,0.3"))
    assert images.source.names == ["a.jpg", "b.JPG"] and images.source.paths[1].name == "b.png"


def test_a_name_matches_whether_its_accents_stand_apart_or_not(folder):
    names = [unicodedata.normalize(form, f"{name}é.jpg") for form in ("NFC", "NFD") for name in "xyz"]
    for file in (names[0], names[1], names[4], names[5]):
        draw_image(folder / file)
    images = open_score_table(write(folder, "file,score", *(f"{name},{i}" for i, name in enumerate(names[1:]))))
    assert [path.name for path in images.source.paths] == [names[1], names[5], names[0], names[4]]


def test_a_folder_whose_name_is_too_long_holds_no_image(folder):
    images = open_score_table(write(folder, "file,score", f"{'x' * 300}/a.jpg,1", "a.jpg,0", "b.png,1"))
    assert images.source.names == ["a.jpg", "b.png"]


def test_an_image_that_cannot_be_decoded_is_left_to_the_evaluation(folder):
    (folder / "a.jpg").write_text("broken")
    assert len(open_score_table(write(folder, "file,score", "a.jpg,0", "b.png,1"))) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name,score", "a.jpg,1"], "there is no column file; the columns are name, score"),
        (["file;score", "a.jpg;1"], "there is no column file; the columns are file;score"),
        (["file,rating", "a.jpg,1"], "there is no column score; the columns are file, rating"),
        (["file,score", "a.jpg,1", "", "b.png,high"], "line 4: the score 'high' is no number"),
        (["file,score", "a.jpg"], "line 2: the score '' is no number"),
        (["file,score", "a.jpg,nan"], "line 2: the score 'nan' is no number"),
        (["file,score", ",1"], "line 2: the column file is empty"),
        (["file,score", "no\0/a.jpg,1"], "line 2: the column file holds a null byte"),
        (["file,score", "a.jpg,1", "./a.jpg,0"], r"line 3: \./a\.jpg is already in line 2"),
        (["file,score", "a.jpg,1", "no/../a.jpg,0"], r"line 3: no/\.\./a\.jpg is already in line 2"),
        (["file,score", "x.jpg,1", "y.jpg,0"], "none of its 2 labels matches an image; .*x.jpg, .* like a.jpg"),
        (["file,score", "no/x.jpg,1", "no/y.jpg,0"], "none of its 2 labels .* there is no image in that folder"),
        (["file,score"], "the table is empty"),
        ([""], "the table is empty"),
        (["file,score", "a.jpg,3", "b.png,3"], "all 2 scores that have an image are 3; agreement needs"),
        (["file,score", "a.jpg,3", "b.png,3", "x.jpg,4"], "all 2 scores that have an image are 3; agreement needs"),
        (["file,score,Score ", "a.jpg,1,0", "b.png,0,1"], "the column score is there more than once; keep one"),
        (["file,score", "a.jpg,1e308", "b.png,-1e308"], r"from -1e\+308 to 1e\+308, too far apart for one range"),
        (["file,score", "a.jpg,1_0", "b.png,2"], "line 2: the score '1_0' is no number"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line(folder, lines, message):
    with pytest.raises(UserError, match=message) as error:
        open_score_table(write(folder, *lines))
    assert str(error.value).startswith(str(folder)) and "\n" not in str(error.value)


def test_what_is_no_table(folder):
    with pytest.raises(UserError, match="no UTF-8 text"):
        open_score_table(folder / "a.jpg")
    (folder / "mine.csv").write_text("file,score\nä.jpg,1\n", encoding="latin-1")
    with pytest.raises(UserError, match="no UTF-8 text"):
        open_score_table(folder / "mine.csv")
    with pytest.raises(UserError, match="there is no such file"):
        open_score_table(folder)
    with pytest.raises(UserError, match="there is no such file"):
        open_scored("csv", folder / "none.csv")
    with pytest.raises(UserError, match="there is no such file or folder"):
        open_scored("csv", folder / ("x" * 300))


def test_ranked_scores_need_categories(folder):
    table = write(folder, "file,score,category", "a.jpg,0,x", "b.png,1,")
    with pytest.raises(UserError, match="need a category for every image, and b.png has none"):
        open_scored("csv", table, ranked_within_category=True)
    assert not open_scored("csv", table).ranked_within_category
