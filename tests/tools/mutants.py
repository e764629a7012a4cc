"""Break the product in one place at a time and see which test notices: are the tests any good?

python tests/tools/mutants.py                        every mutant of the table below, a quarter of an hour on two cores
python tests/tools/mutants.py --only engine/prior    those whose file, code or tests have this in them
python tests/tools/mutants.py --list                 the table, each mutant with its number; nothing is run
python tests/tools/mutants.py --start 100            from that number on, after an interruption
python tests/tools/mutants.py --unbroken             the tests of the table on the code as it is: they must pass

Every mutant is a fresh copy of the repository in a temporary folder, with one text replaced by another. There the
tests that the table names run, up to the first that fails; if none fails, those files whole, then tests/unit. The
working tree is only read. MNIST is taken from data/mnist or $MNIST_DIR. The exit status is 1 if a mutant survived that
the table does not explain.

One process imports TensorFlow and never uses it; every run of pytest is a fork of it, as in tests/stress.py.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

# By file: what is there once, what takes its place, and the tests that are run, as pytest takes them after tests/. A
# fourth text says why no test can notice: the mutant is equivalent.
TABLE: dict[str, list[tuple[str, ...]]] = {
    "model.py": [
        ("mean**2 + tf.exp(2 * a) - 2 * a - 1", "mean**2 + tf.exp(a) - 2 * a - 1", "test_model.py -k kl"),
        ("mean**2 + tf.exp(2 * a) - 2 * a - 1", "mean**2 + tf.exp(2 * a) + 2 * a - 1", "test_model.py -k kl"),
        ("tf.cast(0.5 * tf.reduce_sum(", "tf.cast(-0.5 * tf.reduce_sum(", "test_model.py -k kl"),
        (
            "tf.nn.softplus(logits) - x * logits, axis",
            "tf.nn.softplus(logits) + x * logits, axis",
            "test_model.py -k nll",
        ),
        ("return tf.reduce_sum(tf.nn.softplus", "return tf.reduce_mean(tf.nn.softplus", "test_model.py -k nll"),
        ("+ error / variance)", "+ error / variance**2)", "test_model.py -k gaussian_nll"),
        ("math.prod(x.shape[1:]) * tf.math.log", "x.shape[1] * tf.math.log", "test_model.py -k gaussian_nll"),
        ("tf.exp(tf.cast(a, tf.float64))", "tf.exp(0.5 * tf.cast(a, tf.float64))", "test_model.py -k sample"),
        ("tf.nn.leaky_relu(x, 0.1)", "tf.nn.leaky_relu(x, 0.2)", "test_model.py -k articles"),
        ("features=y, alpha=0.1", "features=y, alpha=0.2", "test_model.py -k plain_keras"),
        ("gradients=upstream, features=y", "gradients=upstream, features=-y", "test_model.py -k plain_keras"),
        ('out + tf.einsum("bn,hwnf->bhwf", one_hot(y, n), maps)', "out", "test_model.py -k label"),
        (
            "tf.split(tf.convert_to_tensor(self.kernel), [c, n], axis=2)",
            "tf.split(tf.convert_to_tensor(self.kernel), [n, c], axis=2)[::-1]",
            "test_model.py -k keras",
        ),
        ("[[1, 0], [1, 0], [0, 0], [0, 0]]", "[[0, 1], [1, 0], [0, 0], [0, 0]]", "test_model.py -k subpixel"),
        ("filters, channels)), [0, 2])", "filters, channels)), [0])", "test_model.py -k subpixel"),
        (
            "tf.concat([z, one_hot(y, self.num_labels)], axis=1)",
            "tf.concat([z, 0 * one_hot(y, self.num_labels)], axis=1)",
            "test_model.py -k label_reaches",
        ),
        ("for k in range(2, stages + 1):", "for k in range(2, stages):", "test_model.py -k 'keras or articles'"),
        ("else out[:, :h, :w]", "else out[:, -h:, -w:]", "test_model.py -k keras"),
        (
            "return tf.sigmoid(self.decode(z, y))",
            "return tf.sigmoid(tf.sigmoid(self.decode(z, y)))",
            "test_model.py -k sigmoid",
        ),
        ("return self.mean(h), self.a(h)", "return self.mean(h), self.mean(h)", "test_model.py -k keras"),
        ("itertools.count((2 * stages + 3) * seed)", "itertools.count(seed)", "test_model.py -k seed"),
        ("self.variance if variance is None else variance)", "self.variance)", "test_model.py -k variance"),
        ("ROUNDING = 1 / (12 * 255**2)", "ROUNDING = 1.0", "test_model.py test_pictures.py -k variance"),
    ],
    "train.py": [
        ("x = tf.cast(x, tf.float32) / 255", "x = tf.cast(x, tf.float32) / 256", "test_train.py -k 'step_is_the_loss'"),
        ("loss = nll + kl  # summed", "loss = nll  # summed", "test_train.py -k first_step"),
        ("epsilon=1e-8)", "epsilon=1e-2)", "test_train.py -k first_step"),
        ("while not run.stopped and (", "while (", "test_crash.py -k stopped_between"),
        ("batch_variance(model, x, logits)))\n", "None))\n", "test_train.py -k first_step"),
        (
            "        if run.stopped:\n            return end_early(run, dataset)\n        save(run, dataset)\n",
            "        save(run, dataset)\n        if run.stopped:\n            return end_early(run, dataset)\n",
            "test_crash.py -k stopped_between",
        ),
        (
            "dataset.validation.subset(VALIDATION, 0)",
            "dataset.test.subset(VALIDATION, 0)",
            "test_train.py -k validation_is_of",
        ),
        ("return 128 + run.stopped", "return 0", "test_crash.py -k signals"),
    ],
    "engine/training/loop.py": [
        ("totals += tf.cast(now, tf.float64)", "totals = tf.cast(now, tf.float64)", "test_train.py -k 'logged_loss'"),
        (
            "tf.logical_not(tf.reduce_all(tf.math.is_finite(now)))",
            "tf.constant(False)",
            "test_crash.py -k 'divergence or first_bad'",
        ),
        (
            "tf.logical_and(bad < 0, tf.logical_not",
            "tf.logical_and(True, tf.logical_not",
            "test_crash.py -k 'first_bad'",
        ),
        (
            'all_reduce("MEAN", error)',
            'all_reduce("SUM", error)',
            "test_model.py test_train.py test_pictures.py -k 'variance or replicas'",
        ),
        (
            "return tf.stop_gradient(tf.maximum(error, ROUNDING))",
            "return tf.maximum(error, ROUNDING)",
            "test_model.py -k variance",
            "at the best σ² the NLL's derivative by σ² is 0, as batch_variance says: the same gradient",
        ),
        ("tf.maximum(error, ROUNDING)", "error", "test_model.py -k perfect"),
        (
            "config.learn_rate, config.decay_steps)",
            "config.learn_rate, 2 * config.decay_steps)",
            "test_train.py -k cosine",
        ),
    ],
    "engine/training/batches.py": [
        ("if not config.balance:", "if True:", "test_batches.py -k balanced"),
        ("len(present), tf.int32)", "len(present) - 1, tf.int32)", "test_batches.py -k balanced"),
        (
            "first = tf.cast(i % self.steps, tf.int32) * size",
            "first = tf.cast(i // self.steps, tf.int32) * size",
            "test_batches.py -k disk_as",
        ),
        (
            "tf.range(number * self.steps, (number + 1) * self.steps, dtype=tf.int64)",
            "tf.range(self.steps, dtype=tf.int64)",
            "test_batches.py -k disk_as",
        ),
        ("first = context.replica_id_in_sync_group * size", "first = 0 * size", "test_batches.py -k memory"),
        ("shares[context.replica_id_in_sync_group]", "shares[0]", "test_batches.py -k disk_as"),
        ('config.seed, "noise", i))', 'config.seed, "noise", 0))', "test_batches.py"),
        ("(Resident if size <= RESIDENT else Streamed)", "Resident", "test_batches.py -k memory"),
    ],
    "engine/random_streams.py": [
        ("len(STREAMS) * seed + STREAMS.index(stream)", "seed + STREAMS.index(stream)", "test_train.py -k randomness"),
        ("key(seed, stream, counter + (1 << 48))", "key(seed, stream, counter)", "test_train.py -k randomness"),
        (
            "return tf.random.stateless_normal(shape, key(seed, stream, counter))",
            "return tf.random.stateless_normal(shape, key(seed, stream))",
            "test_train.py -k randomness",
        ),
    ],
    "engine/config.py": [
        ('and self.dataset != "folder"', "", "test_digit_reader.py -k folder"),
        ('"width", "likelihood", "seed")', '"width", "likelihood")', "test_train.py -k suit"),
        ("2e-3 * min(1, 7 * 7 * 32 / inputs)", "2e-3", "test_train.py -k suit"),
    ],
    "engine/runs/options.py": [
        ('args.steps if args.schedule == "cosine" else 0', "0", "test_train.py -k suit"),
        ("math.ceil(math.log2(min(shape[:2]) / 8))", "2", "test_train.py -k suit"),
    ],
    "engine/training/run.py": [
        ("self.totals.assign(tf.zeros_like(self.totals))", "pass", "test_train.py -k logged_loss"),
        (
            "checkpoints.restore(self.state, str(self.folder",
            "checkpoints.restore(self.state, 2 * str(self.folder",
            "test_workers.py",
        ),
        ("self.stopped = stop.signal or signal.SIGINT", "self.stopped = signal.SIGINT", "test_crash.py -k signals"),
        (
            'self.fail_diverged("the validation loss is not finite", self.step)',
            "pass",
            "test_crash.py -k validation_loss",
        ),
        ('self.fail_diverged("the weights are not finite", self.step)', "pass", "test_crash.py -k not_finite"),
        ("self.trained.into(self.folder)", "pass", "test_crash.py -k 'anew and filled'"),
    ],
    "engine/training/devices.py": [
        ("if batch_size % n == 0), default=1)", "), default=1)", "test_train.py -k gpus"),
        ('task["index"] == 0 and', "", "test_train.py -k chief"),
    ],
    "engine/runs/checkpoints.py": [
        ("key=step_of, reverse=True)", "key=step_of)", "test_crash.py -k 'damaged_checkpoint'"),
        ("key=step_of, reverse=True)", "reverse=True)", "test_crash.py -k highest_step"),
        (
            "sorted(names, key=step_of, reverse=True)",
            'sorted(names, key=lambda name: -(folder / f"{name}.index").stat().st_mtime)',
            "test_disk.py -k clock",
        ),
        ("shapes.values()) > size:", "shapes.values()) > 1 << 60:", "test_crash.py -k claims"),
        ("if there.get(key) != here.get(key):", "if False:", "test_crash.py -k architecture"),
        ("files.sync(*files_of(prefix), folder)", "pass", "test_crash.py -k on_the_disk"),
        ("files.sync(*files_of(prefix), folder)", "files.sync(*files_of(prefix))", "test_disk.py -k power"),
        ("    files.check_held(folder)\n    prefix =", "    prefix =", "test_crash.py -k 'anew and say'"),
        ("newest_first(folder)[KEEP:]", "newest_first(folder)[KEEP + 1 :]", "test_crash.py -k bounded"),
    ],
    "engine/runs/directory.py": [
        ('(folder / "checkpoint").unlink(missing_ok=True)', "pass", "test_crash.py -k hostile_checkpoint"),
        ("        Config.read(folder)\n        return", "        return", "test_ownership.py -k no_run_wrote"),
        ("(folder, *(folder / name for name in FOLDERS))", '(folder, folder / "images")', "test_crash.py -k swept"),
        (
            'paths = [*products(folder), *folder.glob("config.json")]',
            'paths = [*folder.glob("config.json"), *products(folder)]',
            "test_ownership.py -k killed",
        ),
        ('while (folder / f"previous-{n}").exists():', "while False:", "test_ownership.py test_train.py -k fresh"),
        ('(folder / "checkpoint").unlink(missing_ok=True)', "pass", "test_crash.py -k swept"),
        ("    if differences:\n", "    if False:\n", "test_input.py -k other_settings"),
    ],
    "engine/files.py": [
        ("os.replace(partial, path)", "shutil.copyfile(partial, path)", "test_crash.py -k 'whole or write'"),
        ("os.fsync(file.fileno())  # the rename", "pass  # the rename", "test_crash.py -k 'whole or disk'"),
        ("fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB", "test_crash.py -k two_runs"),
        ("while target.exists():", "while False:", "test_crash.py -k moving"),
        ('sync(*partial.rglob("*"), partial)', "pass", "test_crash.py test_savedmodel.py -k folder_is_whole"),
        ("check_held(path)  # or", "pass  # or", "test_crash.py -k 'anew and removed'"),
        (
            '{platform.node()}.{os.getpid()}{PARTIAL}")\n    try:',
            '{PARTIAL}")\n    try:',
            "test_crash.py -k at_once_write",
        ),
        ("error.filename = error.filename or str(path)", "pass", "test_disk.py -k 'room and page'"),
        ("shutil.rmtree(path) if path.is_dir() else path", "path", "test_crash.py -k swept"),
    ],
    "engine/npz.py": [
        ("allow_pickle=False", "allow_pickle=True", "test_folder.py -k 'npz or arrays'"),
        ("isinstance(array, np.ndarray) for", "True for", "test_input.py -k npz"),
        ("> most:\n", "< 0:\n", "test_input.py -k npz"),
    ],
    "engine/terminal.py": [
        ("[\\w/.].*", "[\\w].*", "test_disk.py -k 'room and SavedModel'"),
    ],
    "engine/startup.py": [
        ("        gc.freeze()", "        pass", "test_startup.py"),
        ("        gc.enable()", "        pass", "test_startup.py"),
    ],
    "engine/runs/trained_model.py": [
        ("if folder == self.folder and not there:", "if False:", "test_crash.py -k 'anew and made_of_it'"),
        (
            "if there and Config.read(folder)",
            "if False and Config.read(folder)",
            "test_crash.py -k 'anew and made_of_it'",
        ),
    ],
    "engine/runs/metrics.py": [
        ("own | entries", "entries", "test_evaluate.py -k merges"),
    ],
    "engine/latent/prior.py": [
        ("for power in (0.5, -0.5)", "for power in (1, -1)", "test_prior.py -k 'transport or moments'"),
        (
            "2 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(lower)), axis=1)",
            "tf.reduce_sum(tf.math.log(tf.linalg.diag_part(lower)), axis=1)",
            "test_prior.py -k density",
        ),
        ("log_dets + means.shape[1] * LOG_2PI", "log_dets + LOG_2PI", "test_prior.py -k density"),
        ("tf.math.log(weights) - 0.5", "0 * tf.math.log(weights) - 0.5", "test_prior.py -k bayes"),
        ("square += tf.matmul(precisions", "square += 0 * tf.matmul(precisions", "test_prior.py -k bayes"),
        (
            "return tf.gather(self._means[which], k) + _float64",
            "return _float64(temperature) * tf.gather(self._means[which], k) + _float64",
            "test_prior.py -k temperature",
        ),
        ("rows + SETTLE * (tf", "rows + 2 * SETTLE * (tf", "test_prior.py -k settling"),
        ("within + between, 1)", "within, 1)", "test_prior.py -k transport"),
        (
            'k = tf.minimum(tf.searchsorted(edges, rows[:, -1], "right"), tf.size(edges) - 1)',
            'k = tf.zeros_like(tf.searchsorted(edges, rows[:, -1], "right"))',
            "test_prior.py -k 'moments'",
        ),
        ("return -log_ratio", "return log_ratio", "test_prior.py -k bounds"),
    ],
    "engine/latent/prior_fit.py": [
        ("square = np.minimum(square, ((points", "square = np.maximum(0, ((points", "test_prior.py -k begin_spread"),
        (
            "scatter = tf.matmul(weighted, away, transpose_a=True)",
            "scatter = 0 * tf.matmul(weighted, away, transpose_a=True)",
            "test_prior.py -k closed",
        ),
        (
            "own = tf.matmul(shares, variance)",
            "own = 0 * tf.matmul(shares, variance)",
            "test_prior.py -k 'closed_form or few'",
        ),
        ("if density < highest + LIKELIER:", "if False:", "test_prior.py -k held_out"),
        ("believed = min(1.0, images / (5 * latents))", "believed = 1.0", "test_prior.py -k nearer"),
    ],
    "engine/latent/prior_cache.py": [
        ("held_mean + np.exp(held_a.astype(np.float64)) * eps", "held_mean", "test_prior.py -k chooses"),
        ("np.isfinite(mean).all() and variance.max() < 1e12", "True", "test_prior.py -k finite"),
        ("if keep:", "if True:", "test_prior.py -k older"),
        ("if step != run.step or not same_run:", "if not same_run:", "test_prior.py -k stale"),
        (
            "_encoded(run, train, chosen, bar)",
            "_encoded(run, validation, held, bar)",
            "test_prior.py -k training_images_alone",
        ),
    ],
    "engine/classifiers/digit_reader.py": [
        ("share >= READ", "True", "test_digit_reader.py -k wrong_labels"),
        ("np.abs(images - paper", "(images - paper", "test_digit_reader.py -k any_ink"),
        ("scores = log_p if reader is None else", "scores = log_p if True else", "test_digit_reader.py -k word"),
        ("if own == run.config.names[label]:", "if True:", "test_digit_reader.py -k word"),
    ],
    "engine/drawing/sampling.py": [
        (
            "(rows, 1 if same_style else columns, latent_dim)",
            "(rows, columns, latent_dim)",
            "test_generate.py -k 'style'",
        ),
        (
            "return np.rint(255 * np.asarray(images))",
            "return np.floor(255 * np.asarray(images))",
            "test_generate.py -k rounded",
        ),
        (
            "mean, _ = model.encode(picture[None]",
            "mean, _ = model.encode(0 * picture[None]",
            "test_prior.py -k own_hand",
        ),
        (
            "prior.settle(prior.to_latent(style, y), y)",
            "prior.to_latent(style, y)",
            "test_page.py test_prior.py -k 'dropped or every_way'",
        ),
        (
            "(np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)",
            "(1 - t) * a + t * b",
            "test_generate.py -k slerp",
        ),
        (
            "latents_of_style(prior, temperature * eps, y)",
            "latents_of_style(prior, eps, y)",
            "test_generate.py -k seed_temperature",
        ),
    ],
    "engine/drawing/sheets.py": [
        ("Image.Resampling.NEAREST", "Image.Resampling.BILINEAR", "test_generate.py -k sheets"),
        ("frames + frames[-2:0:-1]", "frames", "test_generate.py -k animation"),
        ("info.add_itxt(key, str(value))", "pass", "test_generate.py -k story"),
        ("padded[:, : some.shape[1]] = some", "padded[:, -some.shape[1] :] = some", "test_labels.py -k below"),
    ],
    "engine/drawing/labels.py": [
        (
            "    if word in names:\n",
            "    if word in names and not word.isdecimal():\n",
            "test_labels.py -k before_number",
        ),
    ],
    "engine/export/savedmodel.py": [
        ("math.log(DRAWS), tf.float32)", "0.0, tf.float32)", "test_savedmodel.py -k classification"),
        (
            "good = tf.reduce_all((label >= 0) & (label < count))",
            "good = tf.reduce_all(label >= 0)",
            "test_savedmodel.py -k range",
        ),
    ],
    "generate.py": [
        ("most = MOST_BYTES //", "most = 10**9 + 0 * MOST_BYTES //", "test_generate.py -k gigabyte"),
        ("run.folder == args.run and prior_cache.of_newest(run)", "True", "test_prior.py -k 'older'"),
        ("args.seed + 1)", "args.seed)", "test_generate.py -k idx"),
    ],
    "engine/export/page/build.py": [
        ("        run.into(run.folder)", "        pass", "test_crash.py -k 'anew and filled'"),
        ('.replace("<", "\\\\u003c")', "", "test_page.py -k 'names_are'"),
        ('order = np.argsort(-kl, kind="stable")', 'order = np.argsort(kl, kind="stable")', "test_page.py -k sliders"),
        ("/ 32767 if", "/ 127 if", "test_page.py -k 'unpacked or agree'"),
    ],
    "engine/export/page/layers.js": [
        (
            "x[i] = Math.max(x[i], 0.1 * x[i])",
            "x[i] = Math.max(x[i], 0.2 * x[i])",
            "test_page.py -k shipped_page_agrees",
        ),
        (
            "const [top, left] = [h % 2 ? 2 : 1, w % 2 ? 2 : 1];",
            "const [top, left] = [1, 1];",
            "test_page.py -k architecture",
        ),
        (
            "let k = (ky * 5 + kx) * filters * c;",
            "let k = (kx * 5 + ky) * filters * c;",
            "test_page.py -k shipped_page_agrees",
        ),
        ("error / variance);", "error / variance ** 2);", "test_page.py -k architecture"),
        ("Math.exp(a[i]) * noise[i]", "noise[i]", "test_page.py -k shipped_page_agrees"),
    ],
    "engine/export/page/cvae.js": [
        ("k = (this.latent_dim + y) * units", "k = this.latent_dim * units", "test_page.py -k shipped_page_agrees"),
        ("channel < c ? channel : c + y", "channel < c ? channel : c", "test_page.py -k shipped_page_agrees"),
    ],
    "engine/export/page/label_prior.js": [
        ("uniform >= below && k < last", "false", "test_page.py -k architecture"),
        (
            "return prior ? prior.settle(prior.place(style, y), y)",
            "return prior ? prior.place(style, y)",
            "test_page.py -k agree",
        ),
    ],
    "engine/export/page/style.js": [
        ("if (state.origin && state.origin.label === label) return state.origin.z;", "", "test_page.py -k corrected"),
    ],
    "engine/export/page/sliders.js": [
        ("value(MAP - 1 - row)", "value(row)", "test_page.py -k map"),
    ],
    "engine/export/page/samples.js": [
        ("eps.map((value) => temperature * value)", "eps", "test_page.py -k temperature"),
    ],
    "engine/export/page/walk.js": [
        ("if (state.style !== walked) new_ends();", "", "test_page.py -k walk"),
    ],
    "engine/export/page/drawing.js": [
        ("if (event.button !== 0 || stroke) return;", "if (event.button !== 0) return;", "test_page.py -k finger"),
        ("if (number !== reads) return;", "", "test_page.py -k dropped"),
    ],
    "engine/export/page/share.js": [
        ('said.get("prior") === "standard" ? null : label_prior', "label_prior", "test_page.py -k link"),
        ("clamp(value, FARTHEST)", "value", "test_page.py -k damaged"),
    ],
    "engine/export/page/self_test.js": [
        ("pixel: 2 / 255", "pixel: 1", "test_page.py -k failed_self_test"),
    ],
    "engine/latent/elbo.py": [
        ("iw[j] - np.log(k)) for", "iw[j]) for", "test_likelihood.py -k bound"),
        (
            "model.variance.assign(max(float(np.mean(squared_error(model, x, y, noise))), ROUNDING))",
            "model.variance.assign(1.0)",
            "test_pictures.py -k variance",
        ),
        (
            "0.5 * (noise**2 + LOG_2PI) + a",
            "0.5 * (noise**2 + LOG_2PI) - a",
            "test_likelihood.py test_model.py -k 'bound or log_ratio'",
        ),
        ("ratios[j][:, None] - shares * some", "ratios[j][:, None] - some", "test_likelihood.py -k ratios"),
    ],
    "engine/evaluation/statistics.py": [
        ("z, p = 1.959964,", "z, p = 1.644854,", "test_likelihood.py -k wilson"),
        ("ddof=1) / np.sqrt", "ddof=0) / np.sqrt", "test_likelihood.py -k statistics"),
        (
            "abs(np.sum(right[bin == b] - sure[bin == b]))",
            "np.sum(right[bin == b] - sure[bin == b])",
            "test_likelihood.py -k statistics",
        ),
    ],
    "engine/evaluation/evaluation_classifier.py": [
        ("networks.BATCH, networks.RECIPE]", "networks.BATCH]", "test_evaluate.py -k recipe"),
        (
            "return all(np.isfinite(w).all() for w in net.get_weights())",
            "return True",
            "test_evaluate.py -k damaged_evaluation",
        ),
        (
            "*subject.train.subset(count, SEED), epochs",
            "*subject.test.subset(count, SEED), epochs",
            "test_evaluate.py -k who_learns",
        ),
    ],
    "engine/evaluation/latents.py": [
        ("mean.var(0, dtype=np.float64) > 0.01", "mean.var(0, dtype=np.float64) > -1", "test_evaluate.py -k latents"),
        ("train = subject.train.subset(count", "train = subject.test.subset(count", "test_evaluate.py -k who_learns"),
    ],
    "engine/evaluation/swap.py": [
        ("statistics.wilson(hits[~own])", "statistics.wilson(hits)", "test_evaluate.py -k deaf"),
        ("moved(z, y, labels, prior), labels)", "z, labels)", "test_evaluate.py -k through_the_label"),
    ],
    "engine/evaluation/samples.py": [
        ("samples.images[samples.right & drawn]", "samples.images[drawn]", "test_evaluate.py -k variety"),
        (
            "subject.latents(y, GENERATED, subject.prior)",
            "subject.latents(y, GENERATED, STANDARD_NORMAL)",
            "test_evaluate.py -k either_prior",
        ),
        (
            "subject.latents(asked, PRIOR, prior, temperature)",
            "subject.latents(asked, PRIOR, prior)",
            "test_evaluate.py -k temperature",
        ),
    ],
    "engine/evaluation/bayes_classifier.py": [
        (
            "np.stack([-b.nll - b.kl for b in under]",
            "np.stack([-b.nll for b in under]",
            "test_evaluate.py -k through_the_label",
        ),
        (
            "(STANDARD_NORMAL, subject.prior)",
            "(STANDARD_NORMAL, STANDARD_NORMAL)",
            "test_evaluate.py -k through_the_label",
        ),
    ],
    "engine/evaluation/reconstructions.py": [
        ("np.argsort(-excess", "np.argsort(excess", "test_evaluate.py -k worst"),
    ],
    "evaluate.py": [
        ("keep=run.folder == args.run and prior_cache.of_newest(run)", "keep=True", "test_evaluate.py -k who_learns"),
        ("metrics.merge(run.into(args.run),", "metrics.merge(run.folder,", "test_evaluate.py -k who_learns"),
        ("images=min(size.images, max(1_000, few // 6)),", "", "test_evaluate.py -k larger_images"),
    ],
    "data/__init__.py": [
        (
            "dataset.fingerprint != config.fingerprint",
            "False",
            "test_data.py test_folder.py -k 'other_data or gets_its'",
        ),
        ("folder.has_pictures(place)", "False", "test_folder.py test_pictures.py -k 'gets_its or all_that'"),
        ("not _has_idx(place) and", "", "test_data.py -k beside_idx"),
    ],
    "data/splits.py": [
        ("VALIDATION: (1 / 6, 1 / 4)}", "VALIDATION: (1 / 6, 1 / 3)}", "test_folder.py -k 'parts'"),
        ("hashlib.sha256(os.fsencode(name))", "hashlib.md5(os.fsencode(name))", "test_folder.py -k never_change"),
        ("        if not counts[part]:", "        if False:", "test_folder.py -k every_label"),
    ],
    "data/image_folder.py": [
        ("stat.st_mtime_ns, stat.st_ctime_ns", "stat.st_mtime_ns, 0", "test_folder.py -k changed_folder"),
        ('not entry.name.startswith(".") and', "", "test_folder.py -k hidden"),
        ("return not entry.is_symlink() or", "return True or", "test_folder.py -k links"),
        ("if len(folders) > MOST_LABELS:", "if False:", "test_folder.py -k thousand"),
    ],
    "data/decode.py": [
        ("ImageOps.exif_transpose(image, in_place=True)", "pass", "test_folder.py -k exif"),
        ("return Image.alpha_composite(page, image)", "return image", "test_folder.py -k 'transparent or blended'"),
        ('if image.mode.startswith(("I", "F")):', "if False:", "test_folder.py -k depths"),
        ("left, top = (width - side) / 2, (height - side) / 2", "left, top = 0, 0", "test_folder.py -k fits"),
        ("LUMA = np.array([19595, 38470, 7471]", "LUMA = np.array([38470, 19595, 7471]", "test_folder.py"),
        ("DRAFT = 2", "DRAFT = 1", "test_folder.py -k sharp"),
        ("if width * height <= MAX_PIXELS:", "if True:", "test_folder.py test_photo.py -k 'bad_file or enormous'"),
    ],
    "data/decoded_folder.py": [
        (
            "coloured.is_set() and not decode.is_grey(picture)",
            "coloured.is_set() and False",
            "test_folder.py -k grey_is",
        ),
        ("len(bad) > MOST_BAD * len(found):\n        some", "False:\n        some", "test_folder.py -k tenth"),
        ("return max(common or SIDE, LOWEST)", "return common or SIDE", "test_folder.py -k size_is_found"),
        (
            "_hash([str(root.resolve()), fit, paper])",
            "_hash([str(root.resolve()), fit])",
            "test_folder.py -k another_background",
        ),
    ],
    "data/cache.py": [
        ("if not whole or", "if", "test_folder.py -k damaged_cache"),
        ("content = [VERSION, shape,", "content = [shape,", "test_folder.py -k fingerprint"),
        ('f"{stem}-{key}-"', 'f"{stem}-"', "test_folder.py -k changed_folder"),
        ("pixels[order[start : start + rows]]", "pixels[start : start + rows]", "test_folder.py -k keeps_its_label"),
    ],
    "data/arrays.py": [
        ("// images.shape[-1] * (channels or images.shape[-1])", "", "test_folder.py -k grey_arrays"),
        ("if lowest < 0 or highest >= most:", "if highest >= most:", "test_folder.py -k arrays"),
        ("images = images[..., None]", "images = 255 - images[..., None]", "test_folder.py -k exported"),
    ],
    "engine/idx.py": [
        ("if file.read(1):", "if False:", "test_data.py -k damaged_file"),
        ("if count + len(magic) + len(sizes) > most:", "if False:", "test_data.py -k 'damaged or mutated'"),
        ('struct.pack(f">BBBB', 'struct.pack(f"<BBBB', "test_data.py -k written"),
    ],
    "data/mnist.py": [
        ("if len(other) == 1:", "if False:", "test_data.py -k one_wrong"),
        ("if known != name and digest == SHA256[known]:", "if False:", "test_data.py -k wrong_name"),
        ("        if highest > most:", "        if False:", "test_data.py -k fit"),
    ],
    "data/digit_photo.py": [
        ("ImageOps.exif_transpose(image)", "image", "test_photo.py -k exif"),
        ("math.ceil(side / 2 - centre)", "math.floor(side / 2 - centre)", "test_photo.py"),
        ("image = ImageOps.invert(alpha)", "pass", "test_photo.py -k comes_back"),
    ],
    "data/synthetic.py": [
        ("rng.permutation(np.arange(count) % 10)", "rng.integers(0, 10, count)", "test_data.py -k drawn"),
        (
            "turn = np.radians(rng.normal(0, 6, count)",
            "turn = np.radians(90 + rng.normal(0, 6, count)",
            "test_data.py -k drawn",
        ),
    ],
    "engine/export/datasets.py": [
        ("stack.enter_context(whole(folder / name))", "folder / name", "test_disk.py -k third_idx"),
        ("if taken:", "if False:", "test_export.py test_generate.py -k idx"),
        ("    if channels != 1:", "    if False:", "test_export.py -k colour"),
        ("count[label] = nth + 1", "count[label] = 0", "test_export.py -k twice"),
    ],
    "engine/photo_constants.py": [
        ("PEN = 1.6", "PEN = 3.0", "test_page.py -k 'thin'"),
        ("LIGHT = 1 / 20", "LIGHT = 1 / 2", "test_page.py -k 'thin or prepared'"),
        ("PEN = 1.6", "PEN = 0.1", "test_photo.py -k thin"),
        ("CONTRAST = 12.0", "CONTRAST = 0.0", "test_photo.py -k blank"),
        ("LIGHT = 1 / 20", "LIGHT = 0.0", "test_photo.py -k specks"),
        ("DARKER = 1.8", "DARKER = 1e9", "test_photo.py -k fainter"),
        ("DARKER = 1.8", "DARKER = 0.5", "test_photo.py"),
        ("SMALL = 0.1", "SMALL = 0.0", "test_photo.py -k black_specks"),
    ],
    "engine/export/page/digit_photo.js": [
        (
            "Math.ceil(side / 2 - moment / total)",
            "Math.floor(side / 2 - moment / total)",
            "test_page.py -k 'prepared and drawn'",
        ),
        ("if (alpha < 128 * width * height) {", "if (false) {", "test_page.py -k 'prepared and drawn'"),
    ],
}


class Mutant(NamedTuple):
    number: int
    file: str
    old: str
    new: str
    tests: str
    equivalent: str = ""

    def __str__(self) -> str:
        old, new = (" ".join(text.split())[:60] for text in (self.old, self.new))
        return f"{self.number:3} {self.file}: {old} → {new or 'nothing'}"


def table(only: str = "") -> list[Mutant]:
    """The mutants, of which something has `only` in it. Raises ValueError for a text that is not there just once."""
    rows = [(file, *row) for file, some in TABLE.items() for row in some]
    found = [Mutant(number, *row) for number, row in enumerate(rows, 1)]
    for mutant in found:
        text = (ROOT / mutant.file).read_text()
        if text.count(mutant.old) != 1:
            raise ValueError(f"{mutant}: the old text is there {text.count(mutant.old)} times")
        if mutant.file.endswith(".py"):
            compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")
    return [mutant for mutant in found if any(only in str(part) for part in mutant[1:])]


def copy(folder: Path) -> None:
    """The repository as it is now, without what git ignores."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


class Watch:
    """A plugin of pytest: the first test that failed, and how many passed."""

    def __init__(self) -> None:
        self.failed, self.passed = "", 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed += report.passed and report.when == "call"
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed = self.failed or f"{report.nodeid}, which cannot be imported"


def child(home: Path, tests: str, answer: Connection) -> None:
    """In a process of its own: run the tests of the copy in `home`."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would tests
    os.setsid()
    for descriptor in (1, 2):
        os.dup2(os.open(home / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.chdir(home / "copy")
    sys.path[0] = str(home / "copy")
    words = shlex.split(tests)
    watch = Watch()
    pytest.main(["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={home / 'tmp'}", *words], plugins=[watch])
    answer.send((watch.failed, watch.passed))


def stages(tests: str) -> list[str]:
    """What pytest is given, one after the other, until a test fails: the tests named, their files, tests/unit."""
    words = shlex.split(tests)
    named = [path for word in words for path in sorted(ROOT.glob(f"tests/*/{word}"))]
    files = [str(path.relative_to(ROOT)) for path in named]
    options = [word for word in words if not word.endswith(".py")]
    return (
        [shlex.join([*files, *options])] * bool(files) + [shlex.join(files)] * bool(files and options) + ["tests/unit"]
    )


def outcome(mutant: Mutant, seconds: float) -> tuple[bool | None, str]:
    """Whether any test noticed (None: none could tell), and in words."""
    unbroken = mutant.old == mutant.new
    for tests in stages(mutant.tests)[: 1 if unbroken else None]:
        seen, text = attempt(mutant._replace(tests=tests), seconds)
        if seen:
            break
    return seen, text


def attempt(mutant: Mutant, seconds: float) -> tuple[bool | None, str]:
    """As `outcome`, by the tests that are named alone."""
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        copy(home / "copy")
        path = home / "copy" / mutant.file
        path.write_text(path.read_text().replace(mutant.old, mutant.new))
        os.environ["XDG_CACHE_HOME"] = str(home / "cache")  # what a broken decoder made must reach no other run
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(target=child, args=(home, mutant.tests, theirs))
        process.start()
        theirs.close()
        try:
            failed, passed = ours.recv() if ours.poll(seconds) else (None, 0)
        except EOFError:
            return True, "noticed: the process died"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and whatever it started
            process.join()
        if failed is None:
            return None, f"TIMED OUT after {seconds:.0f} s"
        if failed:
            return True, f"noticed by {failed}"
        return (False, f"SURVIVED {passed} tests") if passed else (None, "NO TEST RAN")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="the mutants that have this in them")
    parser.add_argument("--start", type=int, default=1, metavar="NUMBER", help="from this mutant on")
    parser.add_argument("--list", action="store_true", help="show the mutants, and run nothing")
    parser.add_argument("--unbroken", action="store_true", help="run their tests on the code as it is")
    parser.add_argument("--timeout", type=float, default=300, metavar="SECONDS", help="of a mutant (default 300)")
    args = parser.parse_args()
    mutants = [mutant for mutant in table(args.only) if mutant.number >= args.start]
    if args.list:
        for mutant in mutants:
            print(mutant, f"[{mutant.tests}]", mutant.equivalent and f"equivalent: {mutant.equivalent}")
        return 0
    if args.unbroken:
        first = {mutant.tests: mutant for mutant in reversed(mutants)}
        mutants = [mutant._replace(new=mutant.old) for mutant in reversed(first.values())]

    os.environ["MNIST_DIR"] = str(ROOT / os.environ.get("MNIST_DIR", "data/mnist"))
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # one of the same size and second would be taken for the other's
    sys.dont_write_bytecode = True
    sys.path.insert(1, str(ROOT))
    from engine import startup

    startup.import_tensorflow()
    for name in [name for name in sys.modules if name.split(".")[0] == "engine"]:
        del sys.modules[name]  # every copy has its own
    sys.path.remove(str(ROOT))

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    began, bad, noticed = time.monotonic(), [], 0
    for done, mutant in enumerate(mutants, 1):
        start = time.monotonic()
        seen, text = outcome(mutant, args.timeout)
        if args.unbroken:
            seen, text = seen is False, text.replace("SURVIVED", "passed").replace("noticed by", "FAILED:")
        noticed += seen is True
        if mutant.equivalent and not args.unbroken:
            text += f"; equivalent: {mutant.equivalent}"
        elif not seen:
            bad.append(mutant)
        print(f"{done}/{len(mutants)} {mutant}: {text} ({time.monotonic() - start:.0f} s)", flush=True)
    explained = len(mutants) - noticed - len(bad)
    what = ("passed", "did not") if args.unbroken else ("noticed", "survived")
    print(f"\n{len(mutants)}: {noticed} {what[0]}, {explained} explained, {len(bad)} {what[1]}", end=" ")
    print(f"in {(time.monotonic() - began) / 60:.0f} min")
    for mutant in bad:
        print(f"  {mutant} [{mutant.tests}]")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
