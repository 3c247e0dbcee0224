import numpy as np

from clicv2_keras.data.sources import FileSource, ProceduralSource
from clicv2_keras.data.subset import Subset, split_held_out


def test_a_subset_has_the_images_in_the_order_asked_for(photos):
    files = FileSource.from_folder(photos)
    part = Subset(files, [4, 0, 2])
    assert len(part) == 3 and part.paths == [files.paths[i] for i in (4, 0, 2)]
    assert [part.name(i) for i in range(3)] == [files.names[i] for i in (4, 0, 2)]
    np.testing.assert_array_equal(part.load(1), files.load(0))


def test_the_same_are_held_out_wherever_they_lie_and_of_one_name_too():
    names = [f"clip{clip}/{frame}.jpg" for clip in range(30) for frame in range(4)]
    shuffled = np.random.default_rng(0).permutation(names).tolist()
    folder = FileSource([f"/a/b/{name}" for name in names])
    records = FileSource(shuffled)
    here, there = (split_held_out(source, 25) for source in (folder, records))
    held_out = {here[1].name(i).removeprefix("/a/b/") for i in range(25)}
    assert held_out == {there[1].name(i) for i in range(25)}
    assert len({name.partition("/")[0] for name in held_out}) > 15
    assert len(here[0]) == len(there[0]) == 95


def test_an_image_that_is_named_twice_is_on_one_side():
    source = FileSource([f"{i}.jpg" for i in range(20)] * 2)
    train, held_out = (sorted(part.name(i) for i in range(len(part))) for part in split_held_out(source, 5))
    assert not set(train) & set(held_out)
    assert len(set(held_out)) == 3 and len(held_out) == 6 and len(train) == 34


def test_of_any_source_and_of_a_subset():
    source = ProceduralSource(10, 16, seed=3)
    part = Subset(Subset(source, np.arange(5, 10)), [1, 3])
    assert [part.name(i) for i in range(2)] == ["procedural 3/6", "procedural 3/8"]
    np.testing.assert_array_equal(part.load(0), source.load(6))
    assert sorted(part.order(np.random.default_rng(0))) == [0, 1]
