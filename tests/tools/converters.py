"""Convert a SavedModel of the shipped run to TensorFlow Lite and to ONNX, and compare their images with the model's.

python tests/tools/converters.py          half a minute; ONNX needs: pip install tf2onnx onnxruntime
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import generate
from engine import terminal

import numpy as np  # isort: skip (after TensorFlow)
import tensorflow as tf  # isort: skip

SIGNATURE = "generate_from_latent"


def tflite(saved: Path) -> Callable[..., np.ndarray]:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=[SIGNATURE])
    runner = tf.lite.Interpreter(model_content=converter.convert()).get_signature_runner(SIGNATURE)
    return lambda z, label: runner(z=z, label=label)["images"]


def onnx(saved: Path) -> Callable[..., np.ndarray]:
    import onnxruntime

    path = f"{saved}.onnx"
    words = ["--saved-model", str(saved), "--signature_def", SIGNATURE, "--output", path]
    subprocess.run([sys.executable, "-m", "tf2onnx.convert", *words], check=True, capture_output=True)
    session = onnxruntime.InferenceSession(path)
    return lambda z, label: session.run(None, {"z": z, "label": label})[0]


@terminal.command
def main(argv: list[str] | None = None) -> int:
    terminal.Parser(__doc__).parse_args(argv)
    model = generate.load().run.model
    z, label = np.random.default_rng(0).standard_normal((100, model.latent_dim), np.float32), np.arange(100) % 10
    expected = model.generate(z, label).numpy()
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder, "saved")
        generate.main(["--savedmodel", str(saved)])
        for convert in tflite, onnx:
            images = convert(saved)(z, label.astype(np.int32))
            print(f"{convert.__name__}: no pixel differs by more than {np.abs(images - expected).max():.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
