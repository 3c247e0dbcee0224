"""Decoding in a process of its own: a picture that hangs, crashes or eats memory ends that, and has its row."""

import os
import signal
import struct
import subprocess
import sys
from itertools import count, islice
from pathlib import Path

import numpy as np

from clicv2_keras.deployment.scoring.scorer import Picture
from clicv2_keras.deployment.scoring.tiles import Tiling, read_pictures
from clicv2_keras.utils.images import UnreadableImage

# Of one picture. What `decode_image` takes at most is 2.4 GB; a slow network drive is among the time.
SECONDS, MEMORY = 60, 3 * 2**30
# Where this package is imported from.
_PACKAGES = Path(__file__).resolve().parents[3]
# Kind and length of what follows, in both directions.
_HEAD = struct.Struct(">BQ")
_PATH, _BYTES = 0, 1
_PICTURE, _END, _ERROR = 0, 1, 2
# Box (zeros of a whole picture), width, height.
_PLACE = struct.Struct(">6I")


class Decoder:
    """What `read_pictures` does, in a child process with a limit of time and of memory for each picture.

    The child starts with the first picture. One that dies is replaced and tries its picture once more, alone: the fault
    may have been another's. Linux and macOS.

    Args:
        image_size: side in pixels of the network's input.
        tiling: a `Tiling` or None.
        seconds: that the decoding of one picture may take.
        memory: bytes of address space that the child may take, Python's own among them.
    """

    def __init__(self, image_size, tiling=None, seconds=SECONDS, memory=MEMORY):
        self.image_size, self.tiling, self.seconds, self.memory = image_size, tiling, seconds, memory
        self._child = None

    def pictures(self, source):
        """Yield (box, `Picture`) of a path or encoded bytes; the picture's `image` is None.

        Raises:
            UnreadableImage: as `read_pictures`, and where a limit is passed or the child dies of it twice.
        """
        given = 0
        for attempt in count(1):
            try:
                for found in islice(self._ask(source), given, None):
                    given += 1
                    yield found
                return
            except (EOFError, BrokenPipeError):
                code = self._bury()
            if code == -signal.SIGALRM:
                raise UnreadableImage(f"decoding it takes more than {self.seconds} s")
            if attempt > 1:
                raise UnreadableImage(f"decoding it ends the process: {_cause(code)}")

    def close(self):
        """End the child."""
        if self._child:
            self._child.kill()
            self._bury()

    def _ask(self, source):
        if self._child is None:
            self._child = self._start()
        kind, data = (_BYTES, source) if isinstance(source, bytes) else (_PATH, os.fsencode(source))
        self._child.stdin.write(_HEAD.pack(kind, len(data)))
        self._child.stdin.write(data)
        self._child.stdin.flush()
        while True:
            kind, length = _HEAD.unpack(_read(self._child.stdout, _HEAD.size))
            body = _read(self._child.stdout, length)
            if kind == _END:
                return
            if kind == _ERROR:
                raise UnreadableImage(body.decode("utf-8", "surrogateescape"))
            *box, width, height = _PLACE.unpack_from(body)
            pixels = np.frombuffer(body, np.uint8, offset=_PLACE.size).reshape(self.image_size, self.image_size, 3)
            yield tuple(box) if self.tiling else None, Picture(None, pixels, width, height)

    def _start(self):
        tile, stride = self.tiling or (0, 0)
        settings = [self.image_size, tile, stride, self.seconds, self.memory]
        # Modules that lie in the working folder, pictures of others perhaps, are not ours to run.
        foreign = {Path.cwd().resolve()} - {_PACKAGES}
        paths = [path for path in sys.path if path and Path(path).resolve() not in foreign]
        # One thread: a pool's stacks would count against the limit.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "clicv2_keras.deployment.scoring.decoder", *map(str, settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    def _bury(self):
        """Wait for the child, which is dying; returns its exit code."""
        child, self._child = self._child, None
        child.stdout.close()
        try:
            child.stdin.close()
        except BrokenPipeError:
            pass
        return child.wait()


def _read(stream, length):
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _cause(code):
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name


def main():
    """The child: answers requests on standard input until that ends."""
    import resource
    import warnings

    image_size, tile, stride, seconds, memory = map(int, sys.argv[1:])
    tiling = Tiling(tile, stride) if tile else None
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Not handled: the system ends a child that hangs, in C as well, and when its parent is gone.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What a codec prints must not stand between the answers.
    os.dup2(2, 1)
    while head := requests.read(_HEAD.size):
        kind, length = _HEAD.unpack(head)
        data = _read(requests, length)
        try:
            pictures = read_pictures(data if kind == _BYTES else os.fsdecode(data), image_size, tiling)
            del data
            while True:
                signal.alarm(seconds)
                box, picture = next(pictures, (None, None))
                signal.alarm(0)
                if picture is None:
                    break
                place = _PLACE.pack(*(box or (0, 0, 0, 0)), picture.width, picture.height)
                _answer(answers, _PICTURE, place, picture.pixels.tobytes())
            _answer(answers, _END)
        except MemoryError:
            _refuse(answers, f"decoding it takes more than {memory >> 20} MB")
        except (UnreadableImage, ValueError) as error:
            reason = str(error)
            _refuse(answers, f"decoding it takes more than {memory >> 20} MB" if reason == "MemoryError" else reason)


def _refuse(answers, reason):
    signal.alarm(0)
    _answer(answers, _ERROR, reason.encode("utf-8", "surrogateescape"))


def _answer(stream, kind, *parts):
    stream.write(_HEAD.pack(kind, sum(map(len, parts))))
    for part in parts:
        stream.write(part)
    stream.flush()


if __name__ == "__main__":
    main()
