"""From inputs to a data set of scores, on all cores of a Ray cluster."""

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable

import numpy as np
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError

from clicv2_keras.deployment.scoring.corpus_inputs import find_inputs, told
from clicv2_keras.deployment.scoring.decoder import SECONDS
from clicv2_keras.deployment.scoring.network import find_tflite
from clicv2_keras.deployment.scoring.ray.parts import MODEL_FILE, Parts
from clicv2_keras.deployment.scoring.ray.summary import Summary
from clicv2_keras.deployment.scoring.ray.units import UnitScorer, write_units
from clicv2_keras.deployment.scoring.scorer import Scorer
from clicv2_keras.deployment.scoring.tiles import tiling_of
from clicv2_keras.utils.errors import RunAborted, UserError
from clicv2_keras.utils.paths import StrPath
from clicv2_keras.utils.threads import ordered_map

# Bytes of a local cluster's object store: the pictures do not go through it.
OBJECT_STORE = 256 * 2**20
# Files of the output that are read at a time: an object store answers each in some 50 ms.
CONNECTIONS = 16
SECONDS_TO_ANSWER = 10
_NONE = np.empty(0, np.uint64)


def score_corpus(
    inputs: Iterable[StrPath],
    output: StrPath,
    model: StrPath = "default",
    workers: int | None = None,
    tile: int | None = None,
    stride: int | None = None,
    embeddings: bool = False,
    column: str | None = None,
    resume: bool = False,
    force: bool = False,
    address: str | None = None,
    price: float | None = None,
    seconds: int = SECONDS,
    report: Callable[[Summary], object] | None = None,
) -> Summary:
    """Score any number of pictures into a Parquet data set, by Ray Data.

    Rows are those of `clicv2_keras.score`, to the last digit, in any order, with where they come from (`source`,
    `version`, `group`, `key`). The folder has its name when the job is done, until then `OUTPUT.partial`. Each picture
    is decoded in a child process of its worker: one that crashes or hangs it has its row, with the error.

    Args:
        inputs: an iterable of files, folders, globs, tar shards, Parquet files, and URLs of these, see `find_inputs`;
            each file once.
        output: a folder, or URL of one, that all nodes of the cluster reach.
        model: a `.tflite` file of `clicv2-keras export`, or the name of a trained preset.
        workers: actors at most, of one core each; as many as the cluster has cores by default.
        tile, stride: score tiles, see `Tiling`; each is a row, its box in its name.
        embeddings: also write `embedding`, float32 (D,).
        column: of Parquet inputs, of encoded bytes or paths; found by its name by default. Without such inputs it is a
            mistake.
        resume: go on with the output that a stopped job left. Inputs that have their rows are not scored again, but for
            files and shards that could not be read; rows of what is not among the inputs any more, or has changed
            since, are dropped.
        force: begin anew in place of an earlier output.
        address: of the cluster; by default the one of this program or of `RAY_ADDRESS`, else a new one of this machine.
        price: of a core for an hour, for the summary.
        seconds: that the decoding of one picture may take.
        report: called with the `Summary` so far, after each unit.

    Returns:
        `Summary`.

    Raises:
        UserError: one line on what is wrong with the arguments.
        RunAborted: where the cluster gives up, or rows are missing in the end.
    """
    begin = time.perf_counter()
    tiling = tiling_of(tile, stride)
    identity = Scorer(model).identity
    parts = Parts(output)
    _check_address(address)
    found = find_inputs(inputs, column)
    settings = {"model": identity, "tile": tiling, "embeddings": embeddings, "column": column}
    with told(f"--output {output}"):
        parts.begin(json.loads(json.dumps(settings)), resume, force)
    with contextlib.ExitStack() as stack:
        try:
            with told(f"--output {output}"):
                names = sorted(parts.names() - parts.stale)
                done = dict(zip(names, ordered_map(parts.digests, names, CONNECTIONS), strict=True))
                there, unread = map(np.concatenate, zip((_NONE, _NONE), *done.values(), strict=True))
                sizes, listed = write_units(parts, found, np.setdiff1d(there, unread))
            stack.enter_context(_cluster(address))
        except BaseException:
            # A mistake changes nothing, nor does who stops it meanwhile. Where that fails too, the first error counts.
            with contextlib.suppress(Exception):
                parts.undo()
            raise
        workers = workers or _cores()
        summary = Summary(int(sizes.sum()), workers, price)
        with told(f"--output {output}"):
            parts.remove_stale()
            # What could not be read, for a mount or a token that was missing perhaps, is tried again.
            wanted = np.setdiff1d(listed, unread)
            for name, (digests, _) in done.items():
                # What has no rows says nothing of where it is from.
                if not len(digests) or not np.isin(digests, wanted).all():
                    parts.keep(name, wanted)
            # Not those that a worker of the earlier job, the last of its kind, may have added meanwhile.
            earlier = parts.names() & set(done)
            for part in ordered_map(parts.summary, earlier, CONNECTIONS):
                summary.add(part, resumed=True)
        summary.begin(begin)
        if len(sizes):
            with told(f"--output {output}"):
                parts.files.put_file(os.fspath(find_tflite(model)), f"{parts.folder}/{MODEL_FILE}")
            construct = (os.getcwd(), identity, parts.url, tiling, embeddings, column, seconds)
            # The largest first: at the end no worker waits long for another.
            for unit, part in _run(np.argsort(-sizes.astype(int), kind="stable"), min(workers, len(sizes)), construct):
                summary.add(part, listed=int(sizes[unit]))
                if report:
                    report(summary)
        # Of those that were asked for no more began than there are cores.
        summary.workers = min(workers, _cores())
    summary.end()
    with told(f"--output {output}"):
        _check(parts, summary, len(listed), output)
        parts.finish()
    return summary


def _cores():
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _check_address(address):
    """Find out whether anybody is there: Ray itself would try for minutes."""
    given = address or os.environ.get("RAY_ADDRESS", "")
    host, _, port = given.removeprefix("ray://").rpartition(":")
    if ray.is_initialized() or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"--ray-address {given}: no cluster answers there: {reason}") from None


@contextlib.contextmanager
def _cluster(address):
    """A cluster: that of the program where it has one, else of `address` or a new one, which ends with the context."""
    context = DataContext.get_current()
    shown, context.enable_progress_bars = context.enable_progress_bars, False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    joined = ray.is_initialized()
    if not joined:
        try:
            new = address is None and "RAY_ADDRESS" not in os.environ
            options = {"object_store_memory": OBJECT_STORE} if new else {}
            ray.init(address, log_to_driver=False, logging_level="ERROR", **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"--ray-address {address}: {' '.join(str(error).split())[:200]}") from None
    try:
        yield
    except RayError as error:
        reason = " ".join(str(error).strip().splitlines()[-1:])
        raise RunAborted(f"the cluster gave up: {reason[:300]}; once that is mended, --resume goes on") from None
    finally:
        context.enable_progress_bars = shown
        if not joined:
            ray.shutdown()


def _run(units, workers, construct):
    """Yield the number of each unit and what it counted, as they are ready; `units` are their numbers, in turn."""
    numbers = ray.data.from_items([{"unit": int(number)} for number in units], override_num_blocks=len(units))
    done = numbers.map_batches(
        UnitScorer,
        fn_constructor_args=construct,
        batch_size=1,
        num_cpus=1,
        compute=ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=2),
    )
    for row in done.iter_rows():
        yield row["unit"], json.loads(row["summary"])


def _check(parts, summary, inputs, output):
    """Whether each input has its row or rows: what the files' footers say against what was listed and counted."""
    footers = list(ordered_map(parts.summary, parts.names(), CONNECTIONS))
    rows, expected = sum(found["rows"] for found in footers), sum(found["expected"] for found in footers)
    scored = sum(found["inputs"] for found in footers)
    if rows != expected or scored != inputs or rows != summary.rows:
        raise RunAborted(
            f"--output {output}: {rows:,} rows of {expected:,} are there, for {scored:,} of {inputs:,} inputs: "
            f"some were lost or doubled; they are in {parts.folder}; --force begins anew"
        )
