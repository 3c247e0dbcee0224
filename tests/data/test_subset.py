import numpy as np

from clicv2_keras.data.sources import FileSource, ProceduralSource
from clicv2_keras.data.subset import Subset


def test_a_subset_has_the_images_in_the_order_asked_for(photos):
    files = FileSource.from_folder(photos)
    part = Subset(files, [4, 0, 2])
    assert len(part) == 3 and part.paths == [files.paths[i] for i in (4, 0, 2)]
    assert part.names == [part.name(i) for i in range(3)] == [files.names[i] for i in (4, 0, 2)]
    np.testing.assert_array_equal(part.load(1), files.load(0))


def test_of_any_source_and_of_a_subset():
    source = ProceduralSource(10, 16, seed=3)
    part = Subset(Subset(source, np.arange(5, 10)), [1, 3])
    assert [part.name(i) for i in range(2)] == ["procedural 3/6", "procedural 3/8"]
    np.testing.assert_array_equal(part.load(0), source.load(6))
    assert sorted(part.order(np.random.default_rng(0))) == [0, 1]
