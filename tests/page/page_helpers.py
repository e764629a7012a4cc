"""Helpers of the page's tests: runs that nobody trained, and what a person does with a page."""

from __future__ import annotations

import base64
import time
from io import BytesIO
from pathlib import Path

import numpy as np
from known_models import random_run
from PIL import Image

from engine.latent.prior import LabelPrior
from engine.runs.trained_model import Trained

SEVEN = ((0.3, 0.25), (0.66, 0.25), (0.55, 0.5), (0.45, 0.8))  # of the drawing area


def run_of(shape: tuple[int, int, int], folder: Path, **settings: object) -> Trained:
    """A run that nobody trained, with random weights and biases, its outputs as lively as a trained one's."""
    options = {"dataset": "folder", "num_labels": 3, "latent_dim": 6, **settings}
    run, rng = random_run(folder, image_shape=shape, **options), np.random.default_rng(1)
    model, labels, latents = run.model, run.model.num_labels, run.model.latent_dim
    for variable in model.variables:
        if not variable.path.endswith("kernel"):
            variable.assign(np.abs(rng.normal(0, 0.1, variable.shape)))
    x, y = rng.uniform(size=(20, *shape)).astype(np.float32), np.arange(20) % labels
    z = rng.normal(size=(20, latents)).astype(np.float32)
    outputs = (*model.encode(x, y), model.decode(z, y))
    for layer, output, spread in zip((model.mean, model.a, model.deconvs[-1]), outputs, (1.5, 0.3, 1.5), strict=True):
        layer.kernel.assign(layer.kernel * (spread / np.std(output - np.mean(output, axis=0))))
    return run


def prior_of(run: Trained, components: int = 2) -> LabelPrior:
    n, size, rng = run.model.num_labels, run.model.latent_dim, np.random.default_rng(2)
    labels = np.repeat(np.arange(n), components)
    weights = rng.uniform(0.5, 1, (n, components))
    factors = 0.4 * rng.normal(size=(len(labels), size, size)) + 0.7 * np.eye(size)
    covariances = factors @ factors.swapaxes(1, 2)
    weights = (weights / weights.sum(1, keepdims=True)).ravel()
    return LabelPrior(labels, weights, rng.normal(0, 0.6, (len(labels), size)), covariances)


def until(page: object, condition: str, seconds: float = 30) -> None:
    """Wait until it holds. Not by the driver's own wait_for_function: that is eval, which the page's policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never came true: {condition}"
        page.wait_for_timeout(10)


def settled(page: object) -> None:
    until(page, "jobs.size === 0")


def row(page: object) -> list[str]:
    settled(page)
    return page.evaluate("cells.map(({ canvas }) => canvas.toDataURL())")


def style(page: object) -> np.ndarray:
    return np.array(page.evaluate("[...state.style]"))


def draw(page: object, points: tuple = SEVEN) -> None:
    page.locator("#canvas").scroll_into_view_if_needed()
    box = page.locator("#canvas").bounding_box()
    for i, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if i == 0:
            page.mouse.down()
    page.mouse.up()


def verdict(page: object) -> str:
    """What the picture is read as, as soon as that stands there."""
    until(page, "state.picture && state.picture.label !== null")
    return page.inner_text("#verdict")


def weighed(page: object) -> str:
    """The verdict, once Bayes' rule has been applied, too."""
    until(page, "state.picture && state.picture.own !== null && jobs.size === 0")
    return page.inner_text("#verdict")


def drop(page: object, content: bytes, kind: str = "drop") -> None:
    page.evaluate(
        """([bytes, kind]) => {
            const moved = new DataTransfer();
            const content = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
            moved.items.add(new File([content], "<img src=x onerror=hacked=1>.png", { type: "image/png" }));
            const options = { bubbles: true, cancelable: true };
            const event = kind === "paste" ? new ClipboardEvent(kind, { ...options, clipboardData: moved })
                : new DragEvent(kind, { ...options, dataTransfer: moved });
            document.body.dispatchEvent(event);
        }""",
        [base64.b64encode(content).decode(), kind],
    )


def on_paper(digit: np.ndarray, side: int = 280) -> bytes:
    """A drawn digit (28, 28, 1) as dark ink on white: a PNG file."""
    file = BytesIO()
    Image.fromarray(255 - digit[..., 0]).resize((side, side)).save(file, "PNG")
    return file.getvalue()
