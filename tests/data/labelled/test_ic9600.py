"""IC9600 in its published layout: images/, train.txt, test.txt; the names are of the published kind."""

import numpy as np
import pytest
from draw_image import draw_image

from clicv2_keras.data.labelled.ic9600 import open_ic9600
from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.utils.errors import UserError

BIRD = "objects_bird_COCO_train2014_000000255051.jpg"
TRAIN = {BIRD: 0.25, "abstract_0001.jpg": 0.5, "scenes_old  town 3.jpg": 0.125}
TEST = {"advertisement_123.png": 1, "person007.jpg": 0.0}


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "given" / "IC9600"
    for seed, name in enumerate({**TRAIN, **TEST}):
        draw_image(root / "images" / name, "PNG" if name.endswith("png") else "JPEG", seed)
    for split, scores in (("train", TRAIN), ("test", TEST)):
        (root / f"{split}.txt").write_text("".join(f"{name}  {score}\n" for name, score in scores.items()))
    return root


def test_the_published_layout(root):
    images = open_ic9600(root)
    assert images.name == "ic9600" and len(images) == 5
    assert images.source.names == [*TRAIN, *TEST]
    assert images.scores.dtype == "float64" and images.scores.tolist() == [0.25, 0.5, 0.125, 1, 0]
    assert images.score_range == (0, 1)
    assert images.categories.tolist() == ["objects", "abstract", "scenes", "advertisement", "person"]
    assert images.splits.tolist() == ["train"] * 3 + ["test"] * 2
    assert not images.ranked_within_category and images.notes == ()
    assert [images.source.load(i).size for i in range(5)] == [(24, 24)] * 5


def test_a_subset_keeps_rows_together(root):
    images = open_ic9600(root)
    test = images.subset(images.splits == "test")
    assert test.names == list(TEST) and test.scores.tolist() == [1, 0]
    turned = images.subset(np.array([4, 0]))
    assert turned.source.paths == [images.source.paths[4], images.source.paths[0]]
    assert turned.categories.tolist() == ["person", "objects"] and turned.scores.tolist() == [0, 0.25]
    assert len(images.subset([])) == 0


def test_the_folder_above_windows_lines_and_a_lacking_split(root):
    (root / "train.txt").write_bytes(b"\xef\xbb\xbf" + f"{BIRD}  0.25\r\n\r\nabstract_0001.jpg\t0.5\r\n".encode())
    (root / "test.txt").unlink()
    images = open_ic9600(root.parent)
    assert images.source.names == [BIRD, "abstract_0001.jpg"] and images.scores.tolist() == [0.25, 0.5]
    assert images.notes[0] == "there is no test.txt: that split is not here"


def test_other_endings_and_what_has_no_counterpart(root):
    (root / "images" / BIRD).rename(root / "images" / f"{BIRD[:-4]}.png")
    for name in ("abstract_0001.jpg", "person007.jpg"):
        (root / "images" / name).unlink()
    for name in "edcb":
        draw_image(root / "images" / f"{name}.jpg")
    # An image by its first bytes alone, and two files that are none.
    draw_image(root / "images" / "a")
    (root / "images" / "._b.jpg").write_bytes(b"left by macOS")
    (root / "images" / "notes.md").write_text("no image")
    images = open_ic9600(root)
    assert images.source.names == [BIRD, "scenes_old  town 3.jpg", "advertisement_123.png"]
    assert images.source.paths[0].suffix == ".png" and images.scores.tolist() == [0.25, 0.125, 1]
    assert images.notes == (
        "5 images have no label: a, b.jpg, c.jpg, …",
        "2 labels match no image (left out): abstract_0001.jpg, person007.jpg",
    )


def test_a_name_in_both_splits_counts_once(root):
    with open(root / "test.txt", "a") as file:
        file.write(f"{BIRD}  0.9\n")
    images = open_ic9600(root)
    assert len(images) == 5 and images.scores[0] == 0.25
    assert images.notes == (f"labels given more than once, of which the first counts: {BIRD}",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("abstract_2.jpg  busy", r"train\.txt, line 4: 'abstract_2\.jpg  busy' is not"),
        ("0.5", r"train\.txt, line 4: '0\.5' is not"),
        ("abstract_2.jpg  nan", "line 4"),
        ("abstract_2.jpg  55", r"the score of abstract_2\.jpg is 55, not in \[0, 1\]"),
    ],
)
def test_a_line_that_is_no_label(root, line, message):
    with open(root / "train.txt", "a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=message) as error:
        open_ic9600(root)
    assert "\n" not in str(error.value)


def test_what_is_not_ic9600_is_one_line(root, tmp_path):
    with pytest.raises(UserError, match="this is not IC9600; name the folder that holds images/"):
        open_ic9600(tmp_path)
    for file in (root / "images").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="none of its 5 labels matches an image; .* there is no image in that folder"):
        open_ic9600(root)
    draw_image(root / "images" / "x.jpg")
    with pytest.raises(UserError, match=f"looks for .*{BIRD}, while the images there are called like x.jpg"):
        open_ic9600(root)
    (root / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no UTF-8 text"):
        open_ic9600(root)


def test_opened_by_name(root):
    assert open_scored("ic9600", root).source.names == open_ic9600(root).source.names
    assert open_scored("ic9600", root, ranked_within_category=True).ranked_within_category
    with pytest.raises(UserError, match="IC-9600: unknown data set; did you mean ic9600?"):
        open_scored("IC-9600", root)
    with pytest.raises(UserError, match="there is no such file or folder"):
        open_scored("ic9600", root / "none")
    with pytest.raises(UserError, match="root is missing"):
        open_scored("ic9600", None)
