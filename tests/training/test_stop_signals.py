"""The first SIGTERM or Ctrl-C is a wish, a second one acts at once."""

import os
import signal

import pytest

from clicv2_keras.training.stop_signals import StopSignals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_is_noted_and_the_second_acts_at_once(number):
    def stopped(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(number, stopped)
    try:
        with StopSignals() as stop:
            assert stop.requested is None
            os.kill(os.getpid(), number)
            assert stop.requested == number
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is stopped
    finally:
        signal.signal(number, before)
