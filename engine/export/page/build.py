"""Write a run's page: one HTML file with networks, label prior and digit reader embedded. It works offline."""

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
from engine.latent.prior import LabelPrior, Prior
from engine.runs import checkpoints
from engine.runs.trained_model import Trained
from model import UpsampledConv2D

HERE = Path(__file__).resolve().parent
SCRIPTS = (  # in order of dependency
    "layers bayes cvae digit_reader label_prior local_prior connected_components digit_photo picture_file "
    "page_state frame_jobs keyboard_groups current_style label_row style_sliders label_samples style_walk "
    "drawing_pad picture_reading style_link self_test page_setup"
).split()
DRAWS = 50  # draws of z per label when the page applies Bayes' rule to a picture
PICTURES = 200  # number of the model's own samples that the KL per dimension is averaged over
ACTIVE = 1 << 32  # counter of the random stream "style" for these samples, apart from all others in use
SELF_TESTED = 3  # number of styles in the self-test


def write(run: Trained, prior: Prior, path: Path) -> int:
    """Write the page atomically and return its size in bytes. With N(0, I) it offers no choice of prior.

    The template is filled with style, script and data. Its Content-Security-Policy allows only these texts, by hash.
    """
    parts = {"style": (HERE / "explorer.css").read_text(encoding="utf-8"), "script": script()}
    for name, text in list(parts.items()):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        parts[f"{name} digest"] = f"'sha256-{digest}'"
    data = _data(run, prior, digit_reader.load() if run.config.digits else None)
    parts["data"] = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")  # no name can end the element
    template = (HERE / "explorer.html").read_text(encoding="utf-8")
    page = re.sub(r"\{\{([\w ]+)\}\}", lambda match: parts[match[1]], template).encode()
    with files.whole(path) as partial:
        partial.write_bytes(page)
    return len(page)


def script() -> str:
    """Return the page's JavaScript as one text, without comments (everything from "// " to the end of a line)."""
    text = "\n".join((HERE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    return re.sub(r"\n\s*\n", "\n", re.sub(r"(?m)(^|\s)\s*// .*$", "", text))


def _packed(array: np.ndarray, halved: bool = False) -> dict:
    """Encode an array for layers.js: float32, or if `halved` int16 times `scale`, unless it is all 0 or not finite."""
    largest = np.abs(array).max(initial=0)
    scale = float(largest) / 32767 if halved and 0 < largest < np.inf else 0
    values = np.rint(array / scale).astype("<i2") if scale else np.asarray(array, "<f4")
    return {"scale": scale, "shape": values.shape, "data": base64.b64encode(values.tobytes()).decode()}


def _weights(weights: dict) -> dict:
    """Encode variables by name: kernels as int16, the few biases and the variance as float32."""
    return {name: _packed(np.asarray(variable), len(variable.shape) > 1) for name, variable in weights.items()}


def _data(run: Trained, prior: Prior, reader: Reader | None) -> dict:
    """Collect all data of the run that the page's scripts use."""
    model, config = run.model, run.config
    y = np.random.default_rng(0).permutation(np.arange(PICTURES) * model.num_labels // PICTURES)  # spread evenly
    styles = random_streams.normal((PICTURES, model.latent_dim), config.seed, "style", ACTIVE).numpy()
    uniform = random_streams.uniform(PICTURES, config.seed, "style", ACTIVE)
    drawn = sampling.render(model, np.float32(prior.sample(y, styles, uniform)), y)
    # Of the shipped run every dimension is within 0.13 nats of the mean over MNIST's test images (measured).
    kl = likelihood_bounds.kl_per_dimension(*likelihood_bounds.posterior(model, drawn, y))
    order = np.argsort(-kl, kind="stable")
    weights = checkpoints.variables(model)
    for name in [f"{layer.name}/kernel" for layer in model.deconvs if isinstance(layer, UpsampledConv2D)]:
        # The transposed convolution that is equal has the kernel's sum at four offsets: (3, 3, F, C) → (4, 4, F, C)
        paddings = [((i, 1 - i), (j, 1 - j), (0, 0), (0, 0)) for i in (0, 1) for j in (0, 1)]
        weights[name] = sum(np.pad(weights[name].numpy(), padding) for padding in paddings)
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
        "model": config.architecture | {"first_map": model.first_map, "weights": _weights(weights)},
        "prior": _prior(prior) if prior.name == "label" else None,
        "reader": reader and _weights(reader),
        "photo": {name: value for name, value in vars(photo_constants).items() if name.isupper()},
        "draws": DRAWS,
        "order": order.tolist(),
        "kl": kl[order].round(3).tolist(),
        "golden": _golden(run, styles[:SELF_TESTED], y[:SELF_TESTED], prior, reader),
    }


def _prior(prior: LabelPrior) -> dict:
    """Encode the label prior as the classes in label_prior.js and local_prior.js expect it."""
    lower = (..., *np.tril_indices(prior.latent_dim))
    if isinstance(prior, LocalPrior):  # the page computes the covariances from σ and mean of each picture's q
        fields = {name.lower(): getattr(local_prior, name) for name in ("NEAR", "FLOOR", "SPREAD", "NEIGHBOURS")}
        fields |= {"sigmas": _packed(prior.widths.numpy(), halved=True), "centres": _packed(prior.means, halved=True)}
    else:
        factors = np.linalg.cholesky(prior.covariances)  # if rounded, they still give a positive definite S
        scales = np.einsum("kii->ki", factors)
        log_peaks = np.log(prior.weights) - np.log(scales * np.sqrt(2 * np.pi)).sum(axis=1)
        fields = {"weights": _packed(prior.weights), "log_peaks": _packed(log_peaks), "centres": _packed(prior.means)}
        fields["factors"] = _packed(factors[lower], halved=True)
    means, roots, inverse_roots = (np.asarray(moment) for moment in prior.moments)
    return fields | {
        "counts": np.bincount(prior.labels).tolist(),
        "step": prior.STEP,
        "means": _packed(means),
        "roots": _packed(roots[lower]),
        "inverse_roots": _packed(inverse_roots[lower]),
    }


def _golden(run: Trained, styles: np.ndarray, y: np.ndarray, prior: Prior, reader: Reader | None) -> list[dict]:
    """Return TensorFlow's results for a few styles (n, L) under labels (n,), the reference of the page's self-test."""
    z = sampling.latents_of_style(prior, styles, y)
    images = run.model.generate(z, y).numpy()
    mean, a = (part.numpy() for part in run.model.encode(images, y))
    results = {"style": styles, "z": z, "pixels": images, "mean": mean, "a": a}
    if reader:
        results["logits"] = digit_reader.logits(reader, 255 * images)
    return [{"label": int(y[i])} | {name: _packed(rows[i]) for name, rows in results.items()} for i in range(len(y))]
