"""How far a job is, and what it came to."""

import time
from collections import Counter
from collections.abc import Iterator


class Summary:
    """What a job has done, and how fast.

    Args:
        listed: how many inputs it has to do; a shard is one.
        workers: of one core each.
        price: of a core for an hour, or None.

    Attributes:
        images: pictures of the whole output, `rows` its rows, `failures` a Counter of its errors by kind.
        resumed: rows that an earlier job wrote.
        start_up: seconds until the workers began, `elapsed` from then on.
        core_seconds: that workers spent on units of this job.
    """

    def __init__(self, listed: int, workers: int, price: float | None = None) -> None:
        self.listed, self.workers, self.price = listed, workers, price
        self.images = self.rows = self.resumed = self.done = 0
        self.failures: Counter[str] = Counter()
        self.start_up = self.core_seconds = 0.0
        self._new_images = 0
        self._begin = self._start = time.perf_counter()
        self._end: float | None = self._begin

    @property
    def failed(self) -> int:
        """Rows that have an error."""
        return self.failures.total()

    @property
    def elapsed(self) -> float:
        """Seconds since the workers began."""
        return max((self._end or time.perf_counter()) - self._start, 1e-9)

    @property
    def rate(self) -> float:
        """Pictures a second, of this job."""
        return self._new_images / self.elapsed

    def begin(self, begin):
        """The job begins to wait for its workers; it was called at `begin`."""
        self._begin, self._start, self._end = begin, time.perf_counter(), None

    def end(self):
        """It has ended."""
        self._end = time.perf_counter()

    def add(self, part, listed=0, resumed=False):
        """Count a unit, a dict as the workers write it."""
        if not resumed and not self._new_images:
            # Until the first unit was begun: the workers started.
            self._start = max(self._start, time.perf_counter() - part["seconds"])
            self.start_up = self._start - self._begin
        self.images += part["images"]
        self.rows += part["rows"]
        self.failures.update(part["failures"])
        self.done += listed
        if resumed:
            self.resumed += part["rows"]
        else:
            self._new_images += part["images"]
            self.core_seconds += part["seconds"]

    def line(self) -> str:
        """The state in a line."""
        share = self.done / self.listed if self.listed else 1
        left = self.elapsed / share * (1 - share) if share else 0
        return f"{share:.1%}  {self.images:,} images  {self.rate:,.0f}/s  {self.failed:,} failed  {_clock(left)} left"

    def lines(self) -> Iterator[str]:
        """The end in words, line by line."""
        yield f"{self.images:,} images, {self.rows:,} rows, {self.failed:,} failed"
        for kind, count in self.failures.most_common(10):
            yield f"    {count:>8,}  {kind}"
        if self.resumed:
            yield f"{self.resumed:,} rows were there"
        each = self._new_images / max(self.core_seconds, 1e-9)
        yield (
            f"{_clock(self.elapsed)} on {self.workers:,} cores after {self.start_up:.0f} s to start: "
            f"{self.rate:,.1f} images a second, {each:,.1f} a second and core"
        )
        if self.price is not None:
            hours = (self.elapsed + self.start_up) * self.workers / 3600
            per_million = (
                f", {hours * self.price / self._new_images * 1e6:,.2f} a million images" if self._new_images else ""
            )
            yield f"cost: {hours:,.3f} core hours x {self.price:g} = {hours * self.price:,.4f}{per_million}"


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
