"""The training loops that benchmark.py compares, from the 2017 loop to this project's own.

Every loop_… function takes uint8 images (N, H, W, C) and labels (N,). It returns a function of a number of steps, which
runs so many steps and returns their mean loss in nats per image.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from PIL import Image

from data import synthetic
from engine import startup, terminal
from engine.config import default_latent_dim, default_learn_rate

GEMM = 2048  # side of the matrices whose product measures the machine's peak
DRAWN = 4_000  # number of drawn pictures; the speed does not depend on their content
Run = Callable[[int], float]


class Contender(NamedTuple):
    """A configuration to measure. `plain` names the rewritings that an ablation replaces by their plain form."""

    title: str
    loop: str  # a key of LOOPS
    channels: int = 1
    batch: int = 64
    pictures: bool = False  # drawn digits of 64 × 64 × 3 in the role of a user's pictures, as train.py trains these
    replicas: int = 0  # of this project; 0: train.py's default number
    plain: tuple[str, ...] = ()
    onednn: str = ""  # "0" off, "1" on; "": the default of TensorFlow or of this project

    @property
    def size(self) -> int:
        return 64 if self.pictures else 28

    @property
    def latents(self) -> int:
        return default_latent_dim((self.size, self.size, 3)) if self.pictures else 20

    @property
    def rate(self) -> float:
        shape, networks = (self.size, self.size, self.channels), "pictures" if self.pictures else "article"
        return default_learn_rate(shape, len(self.filters[0]), 1, networks)

    @property
    def filters(self) -> tuple[list[int], list[int]]:
        """Channels after each convolution of the encoder; of the decoder's first map and after each convolution."""
        if self.pictures:
            return [16, 32, 64], [64, 32, 16, self.channels]
        return [16, 32], [8, 8, self.channels]

    @property
    def kernels(self) -> list[int]:
        """Sides of the encoder's kernels."""
        return [5, *[3 if self.pictures else 5] * (len(self.filters[0]) - 1)]

    @property
    def flop(self) -> float:
        """Floating-point operations per step: 2 per multiply-add, backward twice forward, no gradient of the images."""
        if self.loop == "gemm":
            return 2 * GEMM**3
        down, up = self.filters
        sides = [self.size // 2 ** (k + 1) for k in range(len(down))]
        inputs, area = [self.channels + 10, *down], 16 if self.pictures else 25  # area: of the decoder's kernels
        layers = zip(self.kernels, sides, inputs, down, strict=False)
        first, *convs = [kernel**2 * side**2 * i * o for kernel, side, i, o in layers]
        convs += [area * side**2 * i * o for side, i, o in zip(sides[::-1], up, up[1:], strict=False)]
        dense = sides[-1] ** 2 * (down[-1] * 2 * self.latents + (self.latents + 10) * up[0])
        return 2 * self.batch * (2 * first + 3 * (sum(convs) + dense))


def images_for(c: Contender, digits: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a contender's training images, uint8 (N, H, W, C), and labels (N,)."""
    if c.pictures:
        images, labels = synthetic.digits(DRAWN, c.channels)
        return np.stack([np.asarray(Image.fromarray(image).resize((c.size, c.size))) for image in images]), labels
    with np.load(digits) as file:
        return file["images"].repeat(c.channels, axis=3), file["labels"]


def loop_2017(images: np.ndarray, labels: np.ndarray, c: Contender) -> Run:
    """The 2017 loop: Session, feed_dict, all summaries fetched at every step and written at every 100th."""
    import tensorflow

    v1 = tensorflow.compat.v1
    v1.disable_eager_execution()
    data = images[..., :1] / np.float32(255)  # copied into three channels batch by batch
    one_hot, random = np.eye(10, dtype=np.float32)[labels], np.random.default_rng(0)

    def weights(name: str, *shape: int, out: int) -> tuple:
        kernel = v1.get_variable(name, shape, initializer=v1.glorot_uniform_initializer())
        return kernel, v1.get_variable(f"{name}_b", [out], initializer=v1.zeros_initializer())

    def conv(h: object, name: str, out: int) -> object:
        kernel, bias = weights(name, 5, 5, h.shape[3], out, out=out)
        h = v1.nn.conv2d(h, kernel, strides=[1, 2, 2, 1], padding="SAME") + bias
        return v1.maximum(h, 0.1 * h)

    def deconv(h: object, name: str, size: int, out: int) -> object:
        kernel, bias = weights(name, 5, 5, out, 8, out=out)
        return v1.nn.conv2d_transpose(h, kernel, [c.batch, size, size, out], [1, 2, 2, 1], padding="SAME") + bias

    def dense(h: object, name: str, out: int) -> object:
        kernel, bias = weights(name, h.shape[1], out, out=out)
        return v1.matmul(h, kernel) + bias

    x, y = v1.placeholder("float32", (c.batch, 28, 28, c.channels)), v1.placeholder("float32", (c.batch, 10))
    planes = v1.reshape(y, (-1, 1, 1, 10)) * v1.ones((c.batch, 28, 28, 10))
    h = v1.reshape(conv(conv(v1.concat([x, planes], 3), "conv1", 16), "conv2", 32), (c.batch, 1568))
    mean, a = dense(h, "mean", 20), dense(h, "a", 20)
    z = mean + v1.exp(a) * v1.random_normal((c.batch, 20))
    h = v1.reshape(v1.nn.relu(dense(v1.concat([z, y], 1), "dense", 392)), (-1, 7, 7, 8))
    logits = deconv(v1.nn.relu(deconv(h, "deconv1", 14, 8)), "deconv2", 28, c.channels)
    nll = v1.reduce_sum(v1.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits))
    kl = 0.5 * v1.reduce_sum(mean**2 + v1.exp(2 * a) - 2 * a - 1)
    fetches = {"loss": nll + kl, "train": v1.train.AdamOptimizer(2e-3, epsilon=1e-8).minimize(nll + kl)}
    parts = [v1.summary.scalar(name, value) for name, value in (("loss", nll + kl), ("gen", nll), ("lat", kl))]
    parts += [v1.summary.histogram(v.op.name, v) for v in v1.trainable_variables()] + [v1.summary.histogram("z", z)]
    fetches["summary"] = v1.summary.merge(parts)
    session = v1.Session()
    session.run(v1.global_variables_initializer())
    writer = v1.summary.FileWriter(tempfile.mkdtemp())

    def run(count: int) -> float:
        total = 0.0
        for i in range(count):
            index = random.integers(0, len(data), c.batch)
            values = session.run(fetches, {x: data[index].repeat(c.channels, axis=3), y: one_hot[index]})
            total += float(values["loss"])
            if i % 100 == 0:
                writer.add_summary(values["summary"], i)
        return total / (count * c.batch)

    return run


def loop_keras(images: np.ndarray, labels: np.ndarray, c: Contender) -> Run:
    """A tutorial's loop: tf.data and plain Keras layers, with one compiled step per call or with `fit`."""
    import keras
    import tensorflow as tf
    from keras import layers

    down, up = c.filters
    side = c.size // 2 ** len(down)
    convs = [
        layers.Conv2D(n, kernel, 2, "same", activation=lambda x: tf.maximum(x, 0.1 * x))
        for n, kernel in zip(down, c.kernels, strict=True)
    ]
    encoder = keras.Sequential([*convs, layers.Flatten(), layers.Dense(2 * c.latents)])  # both heads at once
    decoder = [layers.Dense(side**2 * up[0], activation="relu"), layers.Reshape((side, side, up[0]))]
    for n, activation in zip(up[1:], ["relu"] * (len(up) - 2) + [None], strict=True):
        if c.pictures:
            decoder += [layers.UpSampling2D(), layers.Conv2D(n, 3, padding="same", activation=activation)]
        else:
            decoder.append(layers.Conv2DTranspose(n, 5, 2, "same", activation=activation))
    decoder = keras.Sequential(decoder)
    encoder.build((c.batch, c.size, c.size, c.channels + 10))
    decoder.build((c.batch, c.latents + 10))

    def negative_log_likelihood(x: object, logits: object) -> object:
        if not c.pictures:
            return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits))
        error, count = tf.reduce_sum((x - tf.sigmoid(logits)) ** 2), tf.cast(tf.size(x), tf.float32)
        variance = tf.stop_gradient(error / count)
        return 0.5 * (count * tf.math.log(6.2831853 * variance) + error / variance)

    class Plain(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = encoder, decoder

        def train_step(self, batch: tuple) -> dict:
            x, y = tf.cast(batch[0], tf.float32) / 255, tf.one_hot(batch[1], 10)
            planes = tf.broadcast_to(y[:, None, None], (c.batch, c.size, c.size, 10))
            with tf.GradientTape() as tape:
                mean, a = tf.split(encoder(tf.concat([x, planes], -1)), 2, axis=1)
                z = mean + tf.exp(a) * tf.random.normal((c.batch, c.latents))
                nll = negative_log_likelihood(x, decoder(tf.concat([z, y], 1)))
                loss = nll + 0.5 * tf.reduce_sum(mean**2 + tf.exp(2 * a) - 2 * a - 1)
            weights = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, weights), weights)
            return {"nats": loss}  # not "loss": Keras overwrites that

    batches = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(10_000).repeat()
    batches = batches.batch(c.batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    model = Plain()
    model.compile(optimizer=keras.optimizers.Adam(c.rate, epsilon=1e-8), jit_compile=False)
    if c.loop == "fit":
        return lambda count: model.fit(batches, steps_per_epoch=count, verbose=0).history["nats"][-1] / c.batch
    model.optimizer.build(model.trainable_variables)
    step, batch = tf.function(model.train_step), iter(batches)
    return lambda count: float(tf.add_n([step(next(batch))["nats"] for _ in range(count)])) / (count * c.batch)


def loop_torch(images: np.ndarray, labels: np.ndarray, c: Contender) -> Run:
    """A PyTorch loop: eager, channels_last, fused Adam; the data set is on the device as uint8, as in this project."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(terminal.cores())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    down, up = c.filters
    side, convs = c.size // 2 ** len(down), []
    for i, o, kernel in zip([c.channels + 10, *down], down, c.kernels, strict=False):
        convs += [nn.Conv2d(i, o, kernel, 2, kernel // 2), nn.LeakyReLU(0.1)]
    encoder = nn.Sequential(*convs, nn.Flatten(), nn.Linear(side**2 * down[-1], 2 * c.latents))
    convs = [nn.Linear(c.latents + 10, side**2 * up[0]), nn.ReLU(), nn.Unflatten(1, (up[0], side, side))]
    for i, o in zip(up, up[1:], strict=False):
        if c.pictures:
            convs += [nn.Upsample(scale_factor=2), nn.Conv2d(i, o, 3, padding=1), nn.ReLU()]
        else:
            convs += [nn.ConvTranspose2d(i, o, 5, stride=2, padding=2, output_padding=1), nn.ReLU()]
    decoder = nn.Sequential(*convs[:-1])
    net = nn.ModuleList([encoder, decoder]).to(device, memory_format=torch.channels_last)
    for weight in net.parameters():
        nn.init.xavier_uniform_(weight) if weight.ndim > 1 else nn.init.zeros_(weight)
    adam = torch.optim.Adam(net.parameters(), c.rate, eps=1e-8, fused=True)
    data = torch.from_numpy(images).to(device)
    one_hot = torch.eye(10, device=device)[torch.from_numpy(labels.astype(np.int64)).to(device)]

    def negative_log_likelihood(x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        if not c.pictures:
            return functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        error = ((x - torch.sigmoid(logits)) ** 2).sum()
        variance = (error / x.numel()).detach()
        return 0.5 * (x.numel() * torch.log(6.2831853 * variance) + error / variance)

    def step() -> torch.Tensor:
        index = torch.randint(len(data), (c.batch,), device=device)
        x, y = data[index].permute(0, 3, 1, 2).float() / 255, one_hot[index]  # NHWC in memory: channels_last
        planes = y[:, :, None, None].expand(-1, -1, c.size, c.size)
        mean, a = encoder(torch.cat([x, planes], 1).contiguous(memory_format=torch.channels_last)).chunk(2, 1)
        logits = decoder(torch.cat([mean + a.exp() * torch.randn_like(mean), y], 1))
        loss = negative_log_likelihood(x, logits) + 0.5 * (mean**2 + (2 * a).exp() - 2 * a - 1).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.detach()

    return lambda count: float(torch.stack([step() for _ in range(count)]).sum()) / (count * c.batch)


def loop_this(images: np.ndarray, labels: np.ndarray, c: Contender) -> Run:
    """This project's own step and loop, as train.train assembles them."""
    startup.import_tensorflow()
    import keras
    import tensorflow as tf

    import model
    import train
    from engine.dataset import Dataset, Split
    from engine.runs import options
    from engine.training import batches, loop

    class Planes(model.LabelPlaneConv2D):
        def call(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
            planes = tf.one_hot(y, self.num_labels)[:, None, None]
            planes = tf.broadcast_to(planes, (*tf.unstack(tf.shape(x))[:3], self.num_labels))
            return keras.layers.Conv2D.call(self, tf.concat([x, planes], axis=-1))

    if "planes" in c.plain:
        model.LabelPlaneConv2D = Planes
    if "transpose" in c.plain:
        model.SubpixelConv2DTranspose = keras.layers.Conv2DTranspose
    if "leaky" in c.plain:
        model.leaky_relu = lambda x: tf.maximum(x, 0.1 * x)
    if "adam" in c.plain:
        train.FusedAdam = keras.optimizers.Adam
    if "streamed" in c.plain:
        file = tempfile.TemporaryFile()
        file.write(images.data)
        file.flush()
        images, batches.RESIDENT = np.memmap(file, np.uint8, "r", shape=images.shape).view(np.ndarray), 0

    class Ready(Exception):
        """Raised when train.train has assembled its loop; carries the loop."""

    def ready(*parts: object) -> None:
        raise Ready(loop.Loop(*parts))

    split = Split(images, labels)
    dataset = Dataset("folder" if c.pictures else "mnist", "", split, split, split, "", 10, tuple("0123456789"))
    devices = ["--devices", str(c.replicas)] if c.replicas else []
    args = train.parse(["--channels", str(c.channels), "--batch-size", str(c.batch), *devices])
    options.fill_in(args, None)
    unsaved = SimpleNamespace(config=options.config_for(args, dataset, False, None), restore=lambda *_: None)
    train.Loop = ready
    try:
        train.train(args, unsaved, dataset)
    except Ready as done:
        (steps,) = done.args
    position, most = 0, 1 if "calls" in c.plain else 100

    def run(count: int) -> float:
        nonlocal position
        totals, end = tf.zeros(2, tf.float64), position + count
        while position < end:
            block = (position // steps.source.steps + 1) * steps.source.steps
            start, position = position, min(end, position + most, block)
            totals, _ = steps.advance(start, position, totals, False)
        return float(tf.reduce_sum(totals)) / (count * c.batch)

    return run


def loop_gemm(images: np.ndarray, labels: np.ndarray, c: Contender) -> Run:
    """The machine's peak: float32 matrix products on all cores; a "step" is one product."""
    startup.import_tensorflow()
    import tensorflow as tf

    a = tf.random.normal((GEMM, GEMM))

    def run(count: int) -> float:
        for _ in range(count):
            b = a @ a
        return 0 * float(b[0, 0])  # waits for the device

    return run


LOOPS = {"2017": loop_2017, "keras": loop_keras, "fit": loop_keras, "torch": loop_torch}
LOOPS |= {"this": loop_this, "gemm": loop_gemm}
