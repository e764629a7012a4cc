"""Put a run's networks, label prior and reader into one HTML file that needs nothing else: no network, no server."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np
from PIL import ImageColor

from engine import checkpoints, drawing, files, noise, photo_constants
from engine import reader as readers
from engine.evaluation import likelihood
from engine.prior import Prior
from engine.reader import Reader
from engine.trained import Trained
from model import CVAE

HERE = Path(__file__).resolve().parent
SCRIPTS = ("network.js", "pictures.js", "digit_photo.js", "explorer.js")  # in the order in which they need one another
LARGEST = 1_000_000  # bytes of a page, or else twice its weights'
DRAWS = 50  # of z under each label when a picture is read, as in generate.py
LARGEST_NOISE = 50_000  # numbers; where it would be more, the page draws noise of its own
PICTURES = 200  # drawn to see which dimensions are active, and whether rounding shows
PARTS = [slice(i, i + 20) for i in range(0, PICTURES, 20)]  # of them decoded at a time
ENCODED = 0.02  # by how much rounded weights may change what the encoder says
ACTIVE = 1 << 32  # counter of the stream "style", far from those that read a picture
GOLDEN = 3  # pictures of the self-test
GOLDEN_PIXELS = 2_000  # at most, of each; a reader wants all


def write(run: Trained, prior: Prior | None, path: Path, weights: str = "float16", reader: Reader | None = None) -> int:
    """Write the page, whole or not at all, and return its size in bytes.

    Args:
        prior: the run's label prior; None leaves N(0, I) alone to choose from.
        weights: how the networks' numbers are stored, "float16" or "float32"; float16 becomes float32 where rounding
            could be seen.
        reader: of engine.reader; None leaves the label of a picture to Bayes' rule.
    """
    if weights == "float16" and _rounding_shows(run, prior):
        weights = "float32"
    content = _page(_data(run, prior, weights, reader, simplified=False))
    if prior is not None and len(content) > max(LARGEST, 2 * 4 * run.model.count_params()):
        content = _page(_data(run, _simplified(prior), weights, reader, simplified=True))
    if path.parent == run.folder:
        run.into(run.folder)
    with files.whole(path) as partial:
        partial.write_bytes(content)
    return len(content)


def _page(data: dict) -> bytes:
    """The template with style, script and data in it. Nothing but these very texts may run or load."""
    style = (HERE / "explorer.css").read_text(encoding="utf-8")
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    allowed = {
        "default-src": "'none'",
        "script-src": _digest(script),
        "style-src": _digest(style),
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    parts = {
        "policy": "; ".join(f"{key} {value}" for key, value in allowed.items()),
        "style": style,
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),  # so no name ends the element
        "script": script,
    }
    template = (HERE / "explorer.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template).encode()


def _digest(text: str) -> str:
    """A text as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _packed(array: np.ndarray, kind: str = "float32") -> dict:
    """Numbers as network.js unpacks them; float32 where they are too large for float16."""
    kind = kind if _fits_float16(array) else "float32"
    values = np.ascontiguousarray(array, np.dtype(kind).newbyteorder("<"))
    return {"type": kind, "shape": array.shape, "data": base64.b64encode(values.tobytes()).decode()}


def _fits_float16(array: np.ndarray) -> bool:
    return bool(np.abs(array).max(initial=0) < np.finfo(np.float16).max)


def _data(run: Trained, prior: Prior | None, kind: str, reader: Reader | None, simplified: bool) -> dict:
    """All that explorer.js is told."""
    model, config = run.model, run.config
    styles, z, y = _latents(run, prior)
    kl = _kl(run, z, y)
    order = np.argsort(-kl, kind="stable")
    return {
        "run": {
            "name": run.folder.resolve().name,
            "step": run.step,
            "dataset": config.dataset,
            "names": config.names,
            "digits": config.digits,
            "image_shape": model.image_shape,
            "fit": config.fit,
            "background": ImageColor.getrgb(config.background)[:3],
            "simplified": simplified,
        },
        "model": {
            "image_shape": model.image_shape,
            "num_labels": model.num_labels,
            "latent_dim": model.latent_dim,
            "stages": len(model.convs),
            "likelihood": model.likelihood,
            "first_map": model.first_map,
            "weights": {
                name: _packed(variable.numpy(), kind) for name, variable in checkpoints.variables(model).items()
            },
        },
        "prior": prior and _prior(prior, kind),
        "reader": reader and _reader(reader),
        "photo": _photo(),
        "draws": DRAWS,
        "noise": _noise(run, kind),
        "order": order.tolist(),
        "kl": kl[order].round(3).tolist(),
        "order_pictures": PICTURES,
        "golden": _golden(run, styles[:GOLDEN], y[:GOLDEN], prior, reader),
    }


def _photo() -> dict[str, float]:
    """The numbers that digit_photo.js shares with data/digit_photo.py."""
    return {name: value for name, value in vars(photo_constants).items() if name.isupper()}


def _noise(run: Trained, kind: str) -> dict | None:
    """The noise of likelihood.label_log_likelihoods under seed 0, generate.py's: (DRAWS, N, L), if it is not much."""
    shape = (run.model.num_labels, run.model.latent_dim)
    if DRAWS * shape[0] * shape[1] > LARGEST_NOISE:
        return None
    return _packed(np.stack([noise.normal(shape, 0, "style", draw).numpy() for draw in range(DRAWS)]), kind)


def _rounding_shows(run: Trained, prior: Prior | None) -> bool:
    """Whether float16 weights change some pixel by more than a level of 255, or some mean or ln σ by ENCODED."""
    _, z, y = _latents(run, prior)
    model, rounded = run.model, CVAE(**run.config.architecture)
    variables = checkpoints.variables(model)
    for name, variable in checkpoints.variables(rounded).items():
        value = variables[name].numpy()
        variable.assign(value.astype(np.float16) if _fits_float16(value) else value)
    for part in PARTS:
        images = model.generate(z[part], y[part])
        encoded = np.subtract(model.encode(images, y[part]), rounded.encode(images, y[part]))
        decoded = images - rounded.generate(z[part], y[part])
        if np.abs(decoded).max() > 1 / 255 or np.abs(encoded).max() > ENCODED:
            return True
    return False


def _prior(prior: Prior, kind: str) -> dict:
    """The mixture; its covariances by their Cholesky factors, which lose less by rounding, and stay positive."""
    diagonal = prior.covariances.ndim == 2
    factors = np.sqrt(prior.covariances) if diagonal else np.linalg.cholesky(prior.covariances)
    _, roots, _ = prior.moments
    rows, columns = np.tril_indices(prior.means.shape[1])
    return {
        "counts": np.bincount(prior.labels).tolist(),
        "diagonal": diagonal,
        "weights": _packed(prior.weights),
        "means": _packed(prior.means),
        "factors": _packed(factors if diagonal else factors[:, rows, columns], kind),
        "roots": _packed(roots if diagonal else roots[:, rows, columns], kind),
    }


def _reader(net: Reader) -> dict:
    """The reader; its weights are float16's numbers already."""
    weights = readers.weights(net)
    return {
        "stages": sum(name.startswith("conv") for name in weights) // 2,
        "weights": {name: _packed(variable.numpy(), "float16") for name, variable in weights.items()},
    }


def _simplified(prior: Prior) -> Prior:
    """One diagonal Gaussian for each label, with the moments of the whole mixture."""
    means, roots, _ = prior.moments
    variances = roots**2 if roots.ndim == 2 else (roots**2).sum(axis=2)
    return Prior(np.arange(len(means)), np.ones(len(means)), means, variances)


def _latents(run: Trained, prior: Prior | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Styles and z of the prior (PICTURES, L), and labels that go through all of them, or evenly over too many."""
    y = np.arange(PICTURES) * run.model.num_labels // PICTURES
    y = np.random.default_rng(0).permutation(y)
    eps = noise.normal((PICTURES, run.model.latent_dim), run.config.seed, "style", ACTIVE).numpy()
    if prior is None:
        return eps, eps, y
    uniform = noise.uniform(PICTURES, run.config.seed, "style", ACTIVE).numpy()
    return eps, prior.sample(y, eps, uniform).astype(np.float32), y


def _kl(run: Trained, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """KL(q(z|x, y) ‖ N(0, I)) in nats of each dimension (L,): the mean over pictures x that the model draws of these z.

    The run's data need not be at hand. Of the shipped run it is within 0.13 nats of the mean over MNIST's test images
    in every dimension, and the first six stand in the same order (measured).
    """
    found = [likelihood.posterior(run.model, drawing.render(run.model, z[part], y[part]), y[part]) for part in PARTS]
    mean, a = (np.concatenate([some[i] for some in found]).astype(np.float64) for i in range(2))
    with np.errstate(over="ignore"):
        return np.nan_to_num(0.5 * (mean**2 + np.exp(2 * a) - 2 * a - 1)).mean(axis=0)


def _golden(run: Trained, styles: np.ndarray, y: np.ndarray, prior: Prior | None, reader: Reader | None) -> list[dict]:
    """What TensorFlow makes of a few styles: z, the image or some of its pixels, its encoding, how it is read."""
    z = styles if prior is None else prior.settle(prior.place(styles, y), y).astype(np.float32)
    images = run.model.generate(z, y).numpy()
    mean, a = (part.numpy() for part in run.model.encode(images, y))
    stride = 1 if reader else -(-images[0].size // GOLDEN_PIXELS)
    logits = readers.logits(reader, 255 * images) if reader else [None] * len(y)
    return [
        {
            "label": int(y[i]),
            "stride": stride,
            "style": _packed(styles[i]),
            "z": _packed(z[i]),
            "pixels": _packed(images[i].ravel()[::stride]),
            "mean": _packed(mean[i]),
            "a": _packed(a[i]),
            "logits": reader and _packed(logits[i]),
        }
        for i in range(len(y))
    ]
