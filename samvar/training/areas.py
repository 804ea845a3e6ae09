"""Areas under curves of a score that should tell positives from negatives."""

from __future__ import annotations

import numpy as np


def auroc(label: np.ndarray, value: np.ndarray) -> float:
    """Chance that a positive scores above a negative, ties one half."""
    order = np.sort(value)
    rank = (np.searchsorted(order, value, "left") + np.searchsorted(order, value, "right") + 1) / 2
    p, n = label.sum(), (~label).sum()
    return float((rank[label].sum() - p * (p + 1) / 2) / (p * n))


def auprc(label: np.ndarray, value: np.ndarray) -> float:
    """Average precision; rows of equal score enter together."""
    order = np.argsort(-value, kind="stable")
    hits = np.cumsum(label[order])
    last = np.append(np.diff(value[order]) != 0, True)
    precision, recall = hits[last] / (np.flatnonzero(last) + 1), hits[last] / label.sum()
    return float(np.sum(np.diff(recall, prepend=0) * precision))
