"""TensorBoard's event files."""

import os
import struct


def cut_events(folder, step):
    """Drop what the event files of a folder tell of steps after `step`: a run that goes on from there tells it again.

    Steps ascend in a file, so that its end is cut off; so is a record that a kill left unfinished.
    """
    for path in folder.glob("*tfevents*"):
        os.truncate(path, _end(path, step))


def _end(path, step):
    """Bytes of the whole records up to `step`."""
    from tensorboard.compat.proto.event_pb2 import Event

    end, size = 0, path.stat().st_size
    with open(path, "rb") as file:
        # A record: its length in 8 bytes and their checksum in 4; the event, and its checksum in 4.
        while len(head := file.read(12)) == 12:
            (length,) = struct.unpack("<Q4x", head)
            if file.tell() + length + 4 > size or Event.FromString(file.read(length)).step > step:
                break
            end = file.seek(4, os.SEEK_CUR)
    return end
