from pathlib import Path

import numpy as np

from clicv2_keras.data.labelled.joint_sets import join_sets, set_names
from clicv2_keras.data.labelled.scored_images import ScoredImages
from clicv2_keras.data.sources import FileSource


def scored(name, categories, ranked=False):
    count = len(categories)
    source = FileSource([Path(f"/{name}/{i}.jpg") for i in range(count)], [f"{name}/{i}.jpg" for i in range(count)])
    scores = np.linspace(0, 1, count)
    splits = np.full(count, "train")
    return ScoredImages(name, source, scores, (0, 5), np.array(categories), splits, ranked, ("a note",))


def test_one_set_stays_as_it_is():
    data = scored("one", ["a", "b", "a"])
    images, groups, common = join_sets([data])
    assert images is data and set(groups) == {""} and common == [""]
    ranked = scored("one", ["a", "b", "a"], ranked=True)
    assert join_sets([ranked]).groups.tolist() == ["a", "b", "a"] and join_sets([ranked]).common == []


def test_several_sets_keep_their_scales_apart():
    images, groups, common = join_sets(
        [scored("ranks", ["a", "b"], ranked=True), scored("table", ["a", ""]), scored("table", ["a", "c"])]
    )
    assert groups.tolist() == ["ranks/a", "ranks/b", "table 2", "table 2", "table 3", "table 3"]
    assert common == ["table 2", "table 3"]
    assert images.categories.tolist() == ["ranks/a", "ranks/b", "table 2/a", "table 2", "table 3/a", "table 3/c"]
    assert images.name == "ranks and table 2 and table 3" and images.ranked_within_category
    assert images.names == [f"{name}/{i}.jpg" for name in ("ranks", "table", "table") for i in range(2)]
    assert images.notes[0] == "ranks: a note" and images.scores.tolist() == [0, 1] * 3


def test_no_two_sets_are_called_alike():
    assert set_names([scored(name, ["a"]) for name in ("a", "a", "a 1")]) == ["a 1", "a 2", "a 1 3"]
