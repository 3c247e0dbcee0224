import io
import socket
import time

from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from clicv2_keras.utils.atomic_files import naming


class EventWriter:
    """Writes what TensorBoard shows.

    Args:
        folder: made where it is missing; each run that goes on adds a file.
        step: where the run goes on from. TensorBoard drops what it was told before of later steps.

    Raises:
        OSError: naming the folder.
    """

    def __init__(self, folder, step=0):
        self.folder = folder
        with naming(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # Readers take the files in the order of their names.
            path = folder / f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}"
            self.file = open(path, "wb")
        self.records = RecordWriter(self.file)
        self._write(file_version="brain.Event:2")
        # What readers take for a restart. TensorFlow's own writer cannot say it.
        self._write(step=step + 1, session_log=SessionLog(status=SessionLog.START))

    def add_row(self, row):
        """A curve for each figure of a row of `metrics.csv`."""
        # Not as tensors, which some readers do not drop at a restart.
        values = [Summary.Value(tag=name, simple_value=figure) for name, figure in row.items() if name != "step"]
        self._write(step=row["step"], summary=Summary(value=values))

    def add_picture(self, name, pixels, step):
        """uint8 (H, W, 3)."""
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        height, width, channels = pixels.shape
        image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png.getvalue())
        self._write(step=step, summary=Summary(value=[Summary.Value(tag=name, image=image)]))

    def close(self):
        self.file.close()

    def _write(self, **content):
        with naming(self.folder):
            self.records.write(Event(wall_time=time.time(), **content).SerializeToString())
            self.records.flush()
