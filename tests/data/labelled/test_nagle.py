"""Nagle and Lavie's photographs, as a table in a folder."""

import pytest
from PIL import Image

from clicv2_keras.data.labelled.scored_sets import open_scored
from clicv2_keras.utils.errors import UserError


@pytest.fixture
def pictures(tmp_path):
    """A folder of three images."""
    for name in ("a.jpg", "b.png", "c.webp"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


def test_the_folder_and_its_table_are_the_same_set(pictures):
    table = pictures / "nagle.csv"
    table.write_text("file,split,score\na.jpg,train,7.5\nb.png,val,43\nc.webp,val,20\n")
    for root in (pictures, table):
        data = open_scored("nagle", root)
        assert (data.name, data.score_range, data.splits.tolist()) == ("nagle", (7.5, 43.0), ["train", "val", "val"])
        assert data.scores.tolist() == pytest.approx([0, 1, 12.5 / 35.5]) and not data.ranked_within_category


def test_without_its_table_it_is_told_in_one_line(pictures):
    with pytest.raises(UserError, match="nagle.csv: there is no such file"):
        open_scored("nagle", pictures)
