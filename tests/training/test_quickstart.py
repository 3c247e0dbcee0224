import pytest

import clicv2_keras


@pytest.mark.slow
def test_the_quickstart_learns_what_complexity_is(tmp_path):
    """The whole run, of a seed that the recipe was not tried out with first: five minutes on two cores."""
    run = clicv2_keras.train("quickstart", ["seed=3", f"run.dir={tmp_path}"], progress=False)
    srcc = {name: figure for name, _, figure in run.table}
    assert set(srcc) == {"trained encoder", "the same at random initialisation", "mean patch entropy"}
    assert srcc["trained encoder"] > srcc["the same at random initialisation"] + 0.01
    assert srcc["trained encoder"] > srcc["mean patch entropy"] + 0.1
