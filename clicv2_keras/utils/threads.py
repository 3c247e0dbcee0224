import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

# Items a worker may be ahead of a slow one that comes before them.
AHEAD = 16


def ordered_map(function, items, workers):
    """Yield `function(item)` of each item in order, computed in `workers` threads, a bounded number ahead.

    The next item is waited for before the next result is given.

    Threads do, and cost neither memory nor start: Pillow and LiteRT compute without Python's lock.
    """
    pool = ThreadPoolExecutor(workers)
    waiting = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= workers * AHEAD or waiting[0].done():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def share_cores(workers=None, threads=None):
    """Workers and threads of the network each: a worker for each core unless told, and all cores busy."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    workers = workers or max(1, cores // (threads or 1))
    return workers, threads or max(1, cores // workers)
