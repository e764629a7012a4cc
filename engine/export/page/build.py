"""Write a run's page: one HTML file with the networks, label prior and digit reader inside. No network, no server."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np
from PIL import ImageColor

from engine import files, photo_constants, random_streams
from engine.classifiers import digit_reader
from engine.classifiers.digit_reader import Reader
from engine.drawing import sampling
from engine.latent import likelihood_bounds, local_prior
from engine.latent.local_prior import LocalPrior
from engine.latent.prior import SETTLE, LabelPrior, Prior
from engine.runs import checkpoints
from engine.runs.trained_model import Trained
from model import UpsampledConv2D

HERE = Path(__file__).resolve().parent
SCRIPTS = (  # in the order in which they need one another
    "layers bayes cvae digit_reader label_prior local_prior connected_components digit_photo picture_file "
    "page_state frame_jobs keyboard_groups current_style label_row style_sliders label_samples style_walk "
    "drawing_pad picture_reading style_link self_test page_setup"
).split()
DRAWS = 50  # of z under each label when the page applies Bayes' rule to a picture
PICTURES = 200  # drawn by the model to see which dimensions are active
ACTIVE = 1 << 32  # counter of the random stream "style", far from those that read a picture
SELF_TESTED = 3  # pictures of the self-test


def write(run: Trained, prior: Prior, path: Path, reader: Reader | None = None) -> int:
    """Write the page, whole or not at all, and return its size in bytes.

    Args:
        prior: the run's; N(0, I) leaves nothing to choose from.
        reader: None leaves the reading of a picture to Bayes' rule.
    """
    content = _page(_data(run, prior, reader))
    with files.whole(path) as partial:
        partial.write_bytes(content)
    return len(content)


def script() -> str:
    """The page's JavaScript in one piece, without its comments: what stands behind // and a space."""
    text = "\n".join((HERE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    return re.sub(r"\n\s*\n", "\n", re.sub(r"(?m)(^|\s)\s*// .*$", "", text))


def _page(data: dict) -> bytes:
    """The template with style, script and data in it. Its policy lets nothing but these very texts run."""
    parts = {"style": (HERE / "explorer.css").read_text(encoding="utf-8"), "script": script()}
    parts |= {f"{name} digest": _digest(text) for name, text in parts.items()}
    parts["data"] = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")  # so no name ends the element
    template = (HERE / "explorer.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{([\w ]+)\}\}", lambda match: parts[match[1]], template).encode()


def _digest(text: str) -> str:
    """A text as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _packed(array: np.ndarray, halved: bool = False) -> dict:
    """Numbers as layers.js unpacks them: float32, or int16 times `scale` unless all are 0 or the run diverged."""
    largest = np.abs(array).max(initial=0)
    scale = float(largest) / 32767 if halved and 0 < largest < np.inf else 0
    values = np.rint(array / scale).astype("<i2") if scale else np.asarray(array, "<f4")
    return {"scale": scale, "shape": values.shape, "data": base64.b64encode(values.tobytes()).decode()}


def _weights(weights: dict) -> dict:
    """Variables by name: kernels in half their bytes, the few biases and the variance whole."""
    return {name: _packed(np.asarray(variable), len(variable.shape) > 1) for name, variable in weights.items()}


def _transposed(kernel: np.ndarray) -> np.ndarray:
    """The 4×4 kernel of the transposed convolution that model.UpsampledConv2D is. (3, 3, F, C) → (4, 4, F, C)"""
    places = [((i, 1 - i), (j, 1 - j), (0, 0), (0, 0)) for i in (0, 1) for j in (0, 1)]
    return sum(np.pad(kernel, place) for place in places)


def _data(run: Trained, prior: Prior, reader: Reader | None) -> dict:
    """All that the scripts know of the run."""
    model, config = run.model, run.config
    y = np.random.default_rng(0).permutation(np.arange(PICTURES) * model.num_labels // PICTURES)  # spread evenly
    styles = random_streams.normal((PICTURES, model.latent_dim), config.seed, "style", ACTIVE).numpy()
    uniform = random_streams.uniform(PICTURES, config.seed, "style", ACTIVE)
    kl = _kl(run, np.float32(prior.sample(y, styles, uniform)), y)
    order = np.argsort(-kl, kind="stable")
    weights = checkpoints.variables(model)
    for name in [f"{layer.name}/kernel" for layer in model.deconvs if isinstance(layer, UpsampledConv2D)]:
        weights[name] = _transposed(weights[name].numpy())
    return {
        "run": {
            "name": run.folder.resolve().name,
            "step": run.step,
            "dataset": config.dataset,
            "names": config.names,
            "digits": config.mnist_form and config.paper != "bright",
            "image_shape": model.image_shape,
            "fit": config.fit,
            "background": ImageColor.getrgb(config.background)[:3],
        },
        "model": {
            "image_shape": model.image_shape,
            "num_labels": model.num_labels,
            "latent_dim": model.latent_dim,
            "stages": len(model.convs),
            "likelihood": model.likelihood,
            "first_map": model.first_map,
            "weights": _weights(weights),
        },
        "prior": _prior(prior) if prior.name == "label" else None,
        "reader": reader and _weights(reader),
        "photo": {name: value for name, value in vars(photo_constants).items() if name.isupper()},
        "draws": DRAWS,
        "order": order.tolist(),
        "kl": kl[order].round(3).tolist(),
        "golden": _golden(run, styles[:SELF_TESTED], y[:SELF_TESTED], prior, reader),
    }


def _local_prior(prior: LocalPrior) -> dict:
    """The pictures' q in two bytes a number; local_prior.js makes the covariances again."""
    means, root, inverse_root = (np.asarray(moment) for moment in prior.moments)
    lower = np.tril_indices(prior.latent_dim)
    constants = {name.lower(): getattr(local_prior, name) for name in ("PULL", "NEAR", "FLOOR", "SPREAD", "NEIGHBOURS")}
    return constants | {
        "counts": np.bincount(prior.labels).tolist(),
        "sigmas": _packed(prior.widths.numpy(), halved=True),
        "centres": _packed(prior.means, halved=True),
        "means": _packed(means),
        "root": _packed(root[lower]),
        "inverse_root": _packed(inverse_root[lower]),
    }


def _prior(prior: LabelPrior) -> dict:
    """The mixture, its covariances by their Cholesky factors: rounded, these still make a positive covariance."""
    if isinstance(prior, LocalPrior):
        return _local_prior(prior)
    factors = np.linalg.cholesky(prior.covariances)
    scales = np.einsum("kii->ki", factors)
    log_peaks = np.log(prior.weights) - np.log(scales * np.sqrt(2 * np.pi)).sum(axis=1)
    means, roots, inverse_roots = (np.asarray(moment) for moment in prior.moments)
    lower = (slice(None), *np.tril_indices(prior.latent_dim))
    return {
        "settle": SETTLE,
        "counts": np.bincount(prior.labels).tolist(),
        "weights": _packed(prior.weights),
        "log_peaks": _packed(log_peaks),
        "centres": _packed(prior.means),
        "factors": _packed(factors[lower], halved=True),
        "means": _packed(means),
        "roots": _packed(roots[lower]),
        "inverse_roots": _packed(inverse_roots[lower]),
    }


def _kl(run: Trained, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """KL(q(z|x, y) ‖ N(0, I)) in nats of each dimension (L,), mean over pictures x that the model draws of these z.

    For the shipped run within 0.13 nats of the mean over MNIST's test images in every dimension (measured).
    """
    posterior = likelihood_bounds.posterior(run.model, sampling.render(run.model, z, y), y)
    mean, a = (part.astype(np.float64) for part in posterior)
    with np.errstate(over="ignore"):
        return np.nan_to_num(0.5 * (mean**2 + np.exp(2 * a) - 2 * a - 1)).mean(axis=0)


def _golden(run: Trained, styles: np.ndarray, y: np.ndarray, prior: Prior, reader: Reader | None) -> list[dict]:
    """What TensorFlow makes of a few styles (n, L) under labels (n,), for the page to compare its results with."""
    z = sampling.latents_of_style(prior, styles, y)
    images = run.model.generate(z, y).numpy()
    mean, a = (part.numpy() for part in run.model.encode(images, y))
    results = {"style": styles, "z": z, "pixels": images, "mean": mean, "a": a}
    if reader:
        results["logits"] = digit_reader.logits(reader, 255 * images)
    packed = {name: [_packed(row) for row in values] for name, values in results.items()}
    return [{"label": int(label), **{name: rows[i] for name, rows in packed.items()}} for i, label in enumerate(y)]
