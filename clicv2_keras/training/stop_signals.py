"""SIGTERM and Ctrl-C as wishes: the training ends after its step, with a checkpoint."""

import signal
import threading


class StopSignals:
    """Context in which the first SIGTERM or Ctrl-C is noted in `requested`; a second one acts at once."""

    def __init__(self):
        self.requested = None
        self.previous = {}

    def __enter__(self):
        # Python lets only the main thread handle signals; elsewhere they keep their meaning.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception):
        self._restore()

    def agreed(self, devices):
        """What was noted in any process of the run, that all may stop after the same step; each must ask."""
        if number := devices.largest(self.requested or 0):
            self.requested = signal.Signals(number)
        return number

    def _note(self, number, frame):
        self.requested = signal.Signals(number)
        self._restore()

    def _restore(self):
        while self.previous:
            signal.signal(*self.previous.popitem())
