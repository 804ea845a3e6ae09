#!/usr/bin/env python3
"""What the temperature of the site probabilities does to the ranking of measured variants: one
scalar, fitted on the dev halves.

    python train/evaluate/temperature.py DATA --model default --json OUT

For every temperature both areas of SAMVAR_MAX on each set of `variants.py` and the mean AUPRC of
the sets; beside them those of the largest change of log-odds, p clamped to 0.001 .. 0.999.
Five-fold cross-validation with whole genes in a fold: the temperature of the largest mean AUPRC in
four folds, and the AUPRC of the fifth's rows, pooled, at that.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
from common import SETS, Measured, auprc, auroc, measure, save

from samvar.model.bundle import load_bundle
from samvar.scoring import deltas
from samvar.scoring.predictor import Predictor

GRID = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
FOLDS = 5
CLAMP = 1e-3


def tempered(p: np.ndarray, temperature: float) -> np.ndarray:
    """(S, 2, n) probabilities of acceptor and donor -> the same at another temperature."""
    none = 1 - p.sum(1, keepdims=True)
    log_p = np.log(np.clip(np.concatenate([none, p], 1), 1e-9, 1)) / temperature
    e = np.exp(log_p - log_p.max(1, keepdims=True))
    return (e / e.sum(1, keepdims=True))[:, 1:]


def largest(m: Measured, temperature: float) -> float:
    """SAMVAR_MAX at a temperature."""
    return max(
        float(
            deltas.compute(
                s.window, tempered(s.ref, temperature), tempered(s.alt, temperature)
            ).values.max()
        )
        for s in m.scores
    )


def log_odds(m: Measured) -> float:
    """The largest change of log-odds of the mean probability."""
    found = []
    for d, s in zip(m.deltas, m.scores):
        ref, alt = (np.clip(p.mean(0), CLAMP, 1 - CLAMP) for p in (s.ref, s.alt))
        a = d.alignment
        ref, alt = deltas.take(ref, a.ref, CLAMP), deltas.take(alt, a.alt, CLAMP)
        found.append(np.abs(np.log(alt / (1 - alt)) - np.log(ref / (1 - ref))).max())
    return float(max(found))


def genes_of(m: Measured) -> str:
    return "+".join(sorted(s.window.gene.symbol for s in m.scores))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="folder with genome/, annotation/ and variants/")
    parser.add_argument("--model", default="default")
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    bundle = load_bundle(args.model)
    for model in bundle.models:
        model.aggregator.temperature = 1.0
    with Predictor(bundle, threads=os.cpu_count() or 1) as predictor:
        sets = {s.title: [m for m in measure(args.data, s, predictor) if m.scores] for s in SETS}
    labels = {t: np.array([m.label for m in rows]) for t, rows in sets.items()}
    values = {
        t: {g: np.array([largest(m, g) for m in rows]) for g in GRID} for t, rows in sets.items()
    }

    def area(which, title: str, value: np.ndarray, keep: np.ndarray) -> float:
        return which(labels[title][keep], value[keep])

    everything = {t: np.ones(len(rows), bool) for t, rows in sets.items()}
    table = {
        str(g): {
            t: dict(
                auroc=area(auroc, t, values[t][g], everything[t]),
                auprc=area(auprc, t, values[t][g], everything[t]),
            )
            for t in sets
        }
        for g in GRID
    }
    for row in table.values():
        row["mean AUPRC"] = float(np.mean([row[t]["auprc"] for t in sets]))
    odds = {t: np.array([log_odds(m) for m in rows]) for t, rows in sets.items()}
    table["log-odds"] = {
        t: dict(
            auroc=area(auroc, t, odds[t], everything[t]),
            auprc=area(auprc, t, odds[t], everything[t]),
        )
        for t in sets
    }

    genes = sorted({genes_of(m) for rows in sets.values() for m in rows})
    fold = dict(zip(genes, np.random.default_rng(0).permutation(len(genes)) % FOLDS))
    folds = {t: np.array([fold[genes_of(m)] for m in rows]) for t, rows in sets.items()}
    chosen, pooled = [], {t: np.zeros(len(rows)) for t, rows in sets.items()}
    for i in range(FOLDS):
        best = max(
            GRID, key=lambda g: np.mean([area(auprc, t, values[t][g], folds[t] != i) for t in sets])
        )
        chosen.append(best)
        for t in sets:
            pooled[t][folds[t] == i] = values[t][best][folds[t] == i]
    result = dict(
        bundle=bundle.name,
        kind=bundle.kind,
        sha256=bundle.sha256,
        rows={t: len(r) for t, r in sets.items()},
        table=table,
        chosen_in_folds=chosen,
        cross_validated={
            t: dict(
                auroc=area(auroc, t, pooled[t], everything[t]),
                auprc=area(auprc, t, pooled[t], everything[t]),
            )
            for t in sets
        },
    )
    save(args.json, result)
    for key, row in table.items():
        print(key, row)
    print(chosen, result["cross_validated"])


if __name__ == "__main__":
    main()
