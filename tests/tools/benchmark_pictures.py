"""The contenders of benchmark.py --only pictures or cost: pictures, and the network that train.py makes for them.

The peers have coloured ones of 64 × 64: three stages, twice the article's channels, a Gaussian likelihood with the best
σ² of each batch, Adam, batches of 64 drawn with replacement. The pictures are drawn digits in colours of their own;
what they show costs nothing.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from engine import terminal  # noqa: E402

SIZE, CHANNELS, WIDTH, LATENTS, LABELS = 64, 3, 2, 20, 10
CORES = terminal.cores()
FILTERS = [16 * WIDTH, 32 * WIDTH, 64 * WIDTH]  # of the encoder's convolutions
MAP = SIZE // 8
RATE = 3.8e-4  # what train.py takes for this network
UP = [16 * WIDTH, 8 * WIDTH, CHANNELS]  # of the decoder's, from a first map of UP[0] channels
Run = Callable[[int], float]


def network(c: SimpleNamespace) -> tuple[int, int]:
    """Stages and width of the network that train.py makes."""
    return {28: 2, 64: 3, 128: 4}[c.size], 2 if c.kind.startswith("pictures") and c.channels == 3 else 1


def pictures(size: int = SIZE, channels: int = CHANNELS) -> tuple[np.ndarray, np.ndarray]:
    from data import synthetic

    return synthetic.digits(4000, channels, 0, size)


def loop_fit(_images: object, _labels: object, c: SimpleNamespace) -> Run:
    """What a Keras user would write: plain layers, a custom train_step, model.fit over a tf.data pipeline."""
    import keras
    import tensorflow as tf
    from keras import layers

    conv = {"kernel_size": 5, "strides": 2, "padding": "same"}

    class Plain(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = keras.Sequential([layers.Conv2D(n, activation="leaky_relu", **conv) for n in FILTERS])
            self.heads = keras.Sequential([layers.Flatten(), layers.Dense(2 * LATENTS)])
            up = [layers.Dense(MAP**2 * UP[0], activation="relu"), layers.Reshape((MAP, MAP, UP[0]))]
            up += [layers.Conv2DTranspose(n, activation="relu", **conv) for n in UP[:2]]
            self.decoder = keras.Sequential([*up, layers.Conv2DTranspose(CHANNELS, activation="sigmoid", **conv)])

        def train_step(self, batch: tuple) -> dict:
            x, y = batch
            x, y = tf.cast(x, tf.float32) / 255, tf.one_hot(y, LABELS)
            with tf.GradientTape() as tape:
                planes = tf.broadcast_to(y[:, None, None], (tf.shape(x)[0], SIZE, SIZE, LABELS))
                mean, a = tf.split(self.heads(self.encoder(tf.concat([x, planes], -1))), 2, axis=1)
                z = mean + tf.exp(a) * tf.random.normal(tf.shape(mean))
                error = tf.reduce_sum((x - self.decoder(tf.concat([z, y], 1))) ** 2)
                variance = tf.stop_gradient(error / tf.cast(tf.size(x), tf.float32))
                nll = 0.5 * (tf.cast(tf.size(x), tf.float32) * tf.math.log(6.2831853 * variance) + error / variance)
                loss = nll + 0.5 * tf.reduce_sum(mean**2 + tf.exp(2 * a) - 2 * a - 1)
            self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
            return {"nats": loss}  # Keras overwrites what is called loss

    images, labels = pictures()
    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(4000).repeat()
    data = data.batch(c.batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    model = Plain()
    model.compile(optimizer=keras.optimizers.Adam(RATE, epsilon=1e-8), jit_compile=False)
    return lambda count: model.fit(data, steps_per_epoch=count, verbose=0).history["nats"][0] / c.batch


def loop_torch(_images: object, _labels: object, c: SimpleNamespace) -> Run:
    """Eager, channels_last, fused Adam; the pictures live on the device as uint8."""
    import torch
    from torch import nn

    torch.set_num_threads(CORES)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    up = {"stride": 2, "padding": 2, "output_padding": 1}
    parts: list[nn.Module] = []
    for i, o in zip([CHANNELS + LABELS, *FILTERS], FILTERS, strict=False):
        parts += [nn.Conv2d(i, o, 5, 2, 2), nn.LeakyReLU(0.1)]
    encoder = nn.Sequential(*parts, nn.Flatten(), nn.Linear(MAP**2 * FILTERS[-1], 2 * LATENTS))
    parts = [nn.Linear(LATENTS + LABELS, MAP**2 * UP[0]), nn.ReLU(), nn.Unflatten(1, (UP[0], MAP, MAP))]
    for i, o in zip([UP[0], *UP], UP, strict=False):
        parts += [nn.ConvTranspose2d(i, o, 5, **up), nn.ReLU()]
    decoder = nn.Sequential(*parts[:-1], nn.Sigmoid())
    net = nn.ModuleList([encoder, decoder]).to(device, memory_format=torch.channels_last)
    for weight in net.parameters():
        nn.init.xavier_uniform_(weight) if weight.ndim > 1 else nn.init.zeros_(weight)
    adam = torch.optim.Adam(net.parameters(), RATE, eps=1e-8, fused=True)
    images, labels = pictures()
    data = torch.from_numpy(images).to(device)
    one_hot = torch.eye(LABELS, device=device)[torch.from_numpy(labels.astype(np.int64)).to(device)]

    def step() -> torch.Tensor:
        index = torch.randint(len(data), (c.batch,), device=device)
        x, y = data[index].permute(0, 3, 1, 2).float() / 255, one_hot[index]
        planes = y[:, :, None, None].expand(-1, -1, SIZE, SIZE)
        mean, a = encoder(torch.cat([x, planes], 1).contiguous(memory_format=torch.channels_last)).chunk(2, 1)
        error = ((x - decoder(torch.cat([mean + a.exp() * torch.randn_like(mean), y], 1))) ** 2).sum()
        variance = (error / x.numel()).detach()
        nll = 0.5 * (x.numel() * torch.log(6.2831853 * variance) + error / variance)
        loss = nll + 0.5 * (mean**2 + (2 * a).exp() - 2 * a - 1).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.detach()

    return lambda count: float(torch.stack([step() for _ in range(count)]).sum()) / (count * c.batch)


def dataset(c: SimpleNamespace) -> object:
    """The pictures as train.py has them; "streamed": in a file, as they are where memory does not hold them."""
    from data import Dataset, Split
    from engine.training import batches

    images, labels = pictures(c.size, c.channels)
    if "streamed" in c.plain:
        file = tempfile.TemporaryFile(dir=os.environ.get("BENCHMARK_TMP"))
        file.write(images.data)
        file.flush()
        images, batches.RESIDENT = np.memmap(file, np.uint8, "r", shape=images.shape).view(np.ndarray), 0
    split = Split(images, labels)
    return Dataset("folder", "", split, split, split, "", LABELS, tuple("0123456789"))
