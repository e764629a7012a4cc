"""Statistics for evaluations: means and proportions. NumPy arrays in, plain Python numbers out."""

import numpy as np


def average(values: np.ndarray) -> dict[str, float]:
    """Return the mean and its standard error sd/√n, which is NaN for a single value."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return {"mean": float(np.mean(values)), "se": float(error)}


def wilson(hits: np.ndarray) -> dict[str, float]:
    """Return the proportion of hits, bool (n,), with its 95% interval (Wilson, 1927)."""
    n = len(hits)
    z, p = 1.959964, np.sum(hits) / n
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    return {"accuracy": float(p), "low": float(max(low, 0)), "high": float(min(high, 1)), "n": n}


def tidy(value: object) -> object:
    """Convert results for JSON: NumPy to Python numbers, five decimals, None for NaN and infinity."""
    if isinstance(value, dict):
        return {str(key): tidy(v) for key, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [tidy(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), 5) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
