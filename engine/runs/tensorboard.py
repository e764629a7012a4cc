"""Write TensorBoard events; the weights and latents that its histograms show."""

import struct
from pathlib import Path

import numpy as np
import tensorflow as tf

from engine.dataset import Split
from model import CVAE


class EventLog:
    """A writer of TensorBoard events, one sub-folder for training and one for validation, so that both share a chart.

    A sub-folder is created at its first event. tf.summary.scalar, which would need TensorBoard installed, is not used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.writers = folder, {}

    def write(
        self, part: str, step: int, scalars: dict, histograms: dict | None = None, pictures: dict | None = None
    ) -> None:
        """Write numbers, arrays (as histograms) and PNG files, each by name, into `part`, "train" or "validation"."""
        if part not in self.writers:
            self.writers[part] = tf.summary.create_file_writer(str(self.folder / part))

        def entry(name: str, value: np.ndarray | list, plugin: str, data_class: int) -> None:
            metadata = tf.compat.v1.SummaryMetadata(data_class=data_class, plugin_data={"plugin_name": plugin})
            tf.summary.write(name, value, step, metadata)

        with self.writers[part].as_default():
            for name, value in scalars.items():
                entry(name, np.float32(value), "scalars", 1)
            for name, values in (histograms or {}).items():
                counts, edges = np.histogram(values.astype(np.float64), 30)  # float32 may not resolve 30 edges
                entry(name, np.stack([edges[:-1], edges[1:], counts], axis=1), "histograms", 2)  # (30, 3)
            for name, path in (pictures or {}).items():
                png = path.read_bytes()
                width, height = struct.unpack(">II", png[16:24])
                entry(name, [str(width), str(height), png], "images", 3)
        self.writers[part].flush()


def weights_and_latents(model: CVAE, split: Split) -> dict[str, np.ndarray]:
    """Return the arrays for histograms: every weight, and the mean and σ of q(z|x, y) for 500 images of the split."""
    mean, a = model.encode(split.images[:500] / np.float32(255), split.labels[:500].astype(np.int32))
    weights = {f"{layer.name}/{w.name}": w.numpy() for layer in model.layers for w in layer.weights}
    return {**weights, "z/mean": mean.numpy(), "z/sigma": np.exp(a.numpy())}
