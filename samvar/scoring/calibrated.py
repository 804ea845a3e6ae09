"""Site probabilities at a second temperature, at which they are shares of true sites."""

from __future__ import annotations

import numpy as np

from .arrays import Floats

LEAST = 1e-12


def calibrated(probability: Floats, temperature: float | None) -> Floats:
    """(2, ...) probabilities of acceptor and donor -> the same at a temperature relative to that
    at which they are given (`Bundle.calibration`); as they are where there is none."""
    if temperature is None:
        return probability
    p = np.concatenate((1 - probability.sum(0, keepdims=True), probability)).astype(np.float64)
    log_p = np.log(np.clip(p, LEAST, 1)) / temperature
    found: Floats = np.exp(log_p - np.logaddexp.reduce(log_p, 0))[1:]
    return found
