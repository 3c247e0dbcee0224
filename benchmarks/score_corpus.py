"""What a job on Ray costs beside the local engine, and what it survives:

    python benchmarks/score_corpus.py FOLDER --images 20000

of pictures, repeated up to that number, writes `benchmarks/results/score_corpus.md`. Everything in one run; the arms
take turns. The machine should have nothing else to do; the report says what load there was.
"""

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

import psutil
import pyarrow.parquet as pq
from ray.cluster_utils import Cluster

from clicv2_keras.utils.find_images import find_images
from clicv2_keras.utils.threads import share_cores

SCRIPT = Path(sys.executable).parent / "clicv2-keras"
PLAIN = Path(__file__).with_name("score_corpus_plain.py")
REPORT = Path(__file__).parent / "results" / "score_corpus.md"
CORES, _ = share_cores()
COLUMNS = ["file", "score", "width", "height", "error"]
NODE = {"object_store_memory": 256 * 2**20}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3, help="of each arm of the speed")
    parser.add_argument("--timed", type=int, default=5_000, help="images of the speed")
    parser.add_argument("--few", type=int, default=1_000, help="images of the first measure of memory")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    files = [os.path.abspath(found.file) for found in find_images(arguments.folder)]
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        counts = {"timed": arguments.timed, "few": arguments.few, "many": arguments.images}
        timed, few, many = (repeat(files, count, place / name) for name, count in counts.items())
        lines = [
            "# A corpus on Ray",
            "",
            f"```bash\npython {' '.join([os.path.relpath(__file__), *sys.argv[1:]])}\n```",
            "",
            f"{CORES} cores of {processor()}; load average at the start {load:.1f}, which is other people's work. "
            f"Python {platform.python_version()}, ray {version('ray')}, ai-edge-litert {version('ai-edge-litert')}, "
            f"torch {version('torch')}.",
            "",
            *speed(timed, place, arguments.rounds),
            "",
            *survival(many, place, *memory(few, many, place)),
        ]
    REPORT.write_text("\n".join(lines) + "\n")
    print(REPORT.read_text())


def repeat(files, count, folder):
    """A folder of links: the files again and again."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06}{Path(files[number % len(files)]).suffix}").symlink_to(files[number % len(files)])
    return folder


def processor():
    return next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), "")


class Job:
    """A process and all its children; where they are watched, the summed peak of what they hold."""

    def __init__(self, command, watched=True):
        self.process = psutil.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
        self.peak = 0
        # To watch the two dozen processes of Ray takes 6 % of a core: not where speed is measured.
        self._watch = threading.Thread(target=self._measure if watched else lambda: None)
        self._watch.start()

    def _measure(self):
        while self.process.poll() is None:
            try:
                held = sum(memory_of(process) for process in [self.process, *self.process.children(recursive=True)])
                self.peak = max(self.peak, held)
            except psutil.Error:
                pass
            time.sleep(0.5)

    def end(self):
        """What it said; raises where it failed."""
        told = self.process.stderr.read()
        self.process.wait()
        self._watch.join()
        if self.process.returncode:
            raise RuntimeError(told)
        return told


def memory_of(process):
    """Proportional: what processes share, the object store among it, counts once."""
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0


def ray_command(folder, output, *options):
    return [SCRIPT, "score", folder, "--engine", "ray", "--output", output, *options]


def speed(folder, place, rounds):
    """Pictures a second of each arm, in turns, without the start: Ray's is what its summary says, the local engine's
    what one picture takes."""
    count = len(list(folder.iterdir()))
    arms = {name: [] for name in ("local", "ray", "ray, 1 worker", "plain")}
    starts, local_starts = [], []
    for turn in range(rounds):
        local_starts.append(local_seconds(next(folder.iterdir()), place / f"start{turn}.csv"))
        taken = local_seconds(folder, place / f"local{turn}.csv")
        arms["local"].append((count - 1) / (taken - local_starts[-1]))
        for name, options in (("ray", ()), ("ray, 1 worker", ("--workers", 1))):
            told = Job(ray_command(folder, place / f"{name}{turn}", *options), watched=False).end()
            words = told.replace(",", "").split()
            arms[name].append(float(words[words.index("images", words.index("start:")) - 1]))
            starts.append(float(words[words.index("after") + 1]))
        told = Job([sys.executable, PLAIN, folder], watched=False).end()
        arms["plain"].append(float(told.split()[-1]))
    rates = {name: statistics.median(found) for name, found in arms.items()}
    yield f"## Speed, {count:,} pictures, median of {rounds} turns"
    yield ""
    yield "| | images/s | of the local engine's | each turn |"
    yield "| --- | --- | --- | --- |"
    titles = {
        "local": f"local engine, {CORES} workers",
        "ray": f"`--engine ray`, {CORES} workers",
        "ray, 1 worker": "`--engine ray --workers 1`",
        "plain": f"plain Ray Data: ViT-Ti/16 in PyTorch, {CORES} cores",
    }
    for name, title in titles.items():
        turns = ", ".join(f"{rate:.0f}" for rate in arms[name])
        yield f"| {title} | {rates[name]:.1f} | {rates[name] / rates['local']:.2f} | {turns} |"
    yield ""
    yield (
        f"From 1 to {CORES} workers: {rates['ray'] / rates['ray, 1 worker']:.2f} times the rate. "
        f"Starts are left out: Ray takes {statistics.median(starts):.0f} s, the local engine "
        f"{statistics.median(local_starts):.1f} s with its first picture."
    )


def local_seconds(images, output):
    begin = time.perf_counter()
    Job([SCRIPT, "score", images, "--output", output], watched=False).end()
    return time.perf_counter() - begin


def memory(few, many, place):
    """Peaks of both, and the data set of the second, undisturbed."""
    peaks, seconds = [], []
    for folder, output in ((few, place / "few_scores"), (many, place / "whole")):
        begin = time.perf_counter()
        job = Job(ray_command(folder, output))
        job.end()
        peaks.append(job.peak)
        seconds.append(time.perf_counter() - begin)
    return place / "whole", peaks, seconds


def survival(many, place, whole, peaks, seconds):
    """The same job with its driver killed once, and a node."""
    few, count = (len(pq.read_table(folder, columns=["file"])) for folder in (place / "few_scores", whole))
    yield "## Memory: driver, workers, their children, Ray's own processes and object store together"
    yield ""
    yield "| images | peak MB | seconds |"
    yield "| --- | --- | --- |"
    for number, peak, taken in zip((few, count), peaks, seconds, strict=True):
        yield f"| {number:,} | {peak / 2**20:,.0f} | {taken:.0f} |"
    yield ""
    yield f"From {few:,} to {count:,} pictures: {peaks[1] / peaks[0]:.2f} times."
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 1})
    doomed = cluster.add_node(num_cpus=1, **NODE)
    output, partial = place / "disturbed", place / "disturbed.partial"
    command = ray_command(many, output, "--ray-address", cluster.address)
    try:
        first = psutil.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
        units = len(list(whole.glob("part-*")))
        wait_for(partial, units // 4, first)
        first.send_signal(signal.SIGKILL)
        first.wait()
        time.sleep(10)
        kept = {path.name: path.stat().st_mtime_ns for path in partial.glob("part-*")}
        second = Job([*command, "--resume"])
        wait_for(partial, units // 2, second.process)
        for processes in doomed.all_processes.values():
            for information in processes:
                information.process.kill()
        cluster.add_node(num_cpus=1, **NODE)
        told = second.end()
    finally:
        cluster.shutdown()
    after = {path.name: path.stat().st_mtime_ns for path in output.glob("part-*")}
    same = table(output).equals(table(whole))
    yield ""
    yield "## What it survives"
    yield ""
    yield (
        f"{count:,} pictures on two nodes of one core: the driver killed by SIGKILL after a quarter, gone on with by "
        f"`--resume`, one node's processes killed by SIGKILL after half. {len(kept)} of {units} files of rows were "
        f"there and {'none' if kept.items() <= after.items() else 'SOME'} of them written again. The rows are "
        f"{'equal to' if same else 'NOT EQUAL TO'} those of the undisturbed job."
    )
    yield ""
    yield "```\n" + "\n".join(told.strip().splitlines()[-3:]) + "\n```"


def wait_for(partial, count, process):
    while len(list(partial.glob("part-*"))) < count:
        if process.poll() is not None:
            raise RuntimeError("the job ended before it could be killed")
        time.sleep(0.05)


def table(folder):
    return pq.read_table(folder, columns=COLUMNS).replace_schema_metadata().sort_by("file")


if __name__ == "__main__":
    main()
