"""Choose the devices to train on, with tf.distribute: GPUs, else CPU cores, on one machine or several."""

import json
import os
import socket
import time

import tensorflow as tf

from engine.terminal import Failure, cores, say

WAIT = 10  # seconds between two messages while waiting for a worker
SHARE = 16  # fewest images for a CPU replica: with fewer, half of a step is overhead (measured)


def is_chief() -> bool:
    """Return whether this process writes and prints: the only one, the chief, or worker 0 if there is no chief."""
    try:
        tf_config = json.loads(os.environ.get("TF_CONFIG", "{}"))
        cluster, task = tf_config.get("cluster", {}), tf_config.get("task", {"type": "chief"})
        if task["type"] not in ("chief", "worker"):
            raise ValueError
        return task["type"] == "chief" or ("chief" not in cluster and int(task["index"]) == 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        remedy = "correct it, or unset it to train alone"
        raise Failure(f"TF_CONFIG is not the JSON that README shows, of chief or worker: {remedy}") from None


def strategy(devices: int | None, batch_size: int, begun_on: int = 0) -> tf.distribute.Strategy:
    """Return the strategy to train with: TF_CONFIG's workers, else the GPUs, else CPU cores as logical devices.

    Args:
        devices: number of replicas. Default: the run's original count if the machine has as many, for the same bits;
            for a new run the largest number that divides the batch size, on a CPU with at least SHARE images each.
        begun_on: the run's original replica count; 0: a new run.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if several_workers():
        if devices:
            raise Failure("--devices does not go with TF_CONFIG: every worker takes all its GPUs, or its CPU")
        _wait_for_workers()
        chosen = tf.distribute.MultiWorkerMirroredStrategy()
    else:
        if gpus and (devices or 0) > len(gpus):
            raise Failure(f"--devices {devices}: this machine has {len(gpus)} GPUs")
        most = len(gpus) or min(cores(), batch_size // SHARE)
        if not gpus or begun_on <= len(gpus):  # a CPU may have more replicas than cores: slower, but the same bits
            devices = devices or begun_on
        devices = devices or max((n for n in range(1, most + 1) if batch_size % n == 0), default=1)
        names = [f"GPU:{i}" for i in range(devices)] if gpus else _logical_cpus(devices)
        chosen = tf.distribute.MirroredStrategy(names) if len(names) > 1 else tf.distribute.OneDeviceStrategy(names[0])
    replicas = chosen.num_replicas_in_sync
    if batch_size % replicas:
        remedy = f"try --batch-size {max(batch_size // replicas, 1) * replicas} or fewer --devices"
        raise Failure(f"--batch-size {batch_size} does not divide by {replicas} replicas: {remedy}")
    return chosen


def _wait_for_workers() -> None:
    """Wait until all of TF_CONFIG's workers accept a connection. TensorFlow's own wait is silent and ignores signals.

    Meanwhile this worker listens on its own port, or two workers would wait for each other.
    """
    tf_config = json.loads(os.environ["TF_CONFIG"])
    cluster, task = tf_config["cluster"], tf_config["task"]
    own = cluster[task["type"]][int(task["index"])]
    missing, said = [address for addresses in cluster.values() for address in addresses if address != own], 0.0
    with socket.create_server(("", int(own.rpartition(":")[2]))):
        while missing:
            host, _, port = missing[0].rpartition(":")
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                del missing[0]
            except OSError:
                if time.monotonic() - said > WAIT:
                    said = time.monotonic()
                    say(f"waiting for the worker {missing[0]}")
                time.sleep(0.2)


def _logical_cpus(count: int) -> list[str]:
    """Create `count` logical CPUs and return their names. If TensorFlow runs already, use the devices it has.

    Remaining cores become threads inside the operations. Replicas come first: on two cores, two replicas make 1.1 times
    the steps/s of one replica with two threads (measured).
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.threading.set_intra_op_parallelism_threads(max(1, cores() // count))
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError:
        existing = len(tf.config.list_logical_devices("CPU"))
        if existing < count:
            say(f"TensorFlow already runs on {existing} of {count} CPU devices: training in a new process is faster")
        count = min(count, existing)
    return [f"CPU:{i}" for i in range(count)]


def several_workers() -> bool:
    return "TF_CONFIG" in os.environ


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Wait at the end of a run for the other workers: TensorFlow reports a worker that ends earlier as a crash."""
    if several_workers():
        same_for_all(strategy, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # it may still report one, as all end at nearly the same time


def same_for_all(strategy: tf.distribute.Strategy, number: int) -> bool:
    """Return whether all workers call this with the same number. Waits for them."""
    value = tf.function(lambda: tf.constant(number, tf.int64))
    return bool(strategy.reduce("SUM", strategy.run(value), axis=None) == number * strategy.num_replicas_in_sync)
