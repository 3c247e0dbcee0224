import time

import pytest

from clicv2_keras.utils.threads import AHEAD, ordered_map, share_cores


def test_results_come_in_order_and_errors_come_through():
    def work(item):
        time.sleep(0.02 if item % 7 == 0 else 0)
        if item == 90:
            raise RuntimeError("ninety")
        return -item

    results = ordered_map(work, range(100), workers=3)
    assert [next(results) for _ in range(90)] == [-item for item in range(90)]
    with pytest.raises(RuntimeError, match="ninety"):
        next(results)


def test_input_without_end_is_taken_a_bounded_number_ahead():
    taken = []

    def items():
        while True:
            taken.append(len(taken))
            yield taken[-1]

    results = ordered_map(abs, items(), workers=2)
    assert [next(results) for _ in range(50)] == list(range(50))
    results.close()
    assert len(taken) <= 50 + 2 * AHEAD


def test_cores_are_shared(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert share_cores() == (8, 1)
    assert share_cores(workers=2) == (2, 4)
    assert share_cores(threads=4) == (2, 4)
    assert share_cores(16, 3) == (16, 3)
    assert share_cores(workers=16) == (16, 1)
