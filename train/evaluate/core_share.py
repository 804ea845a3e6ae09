#!/usr/bin/env python3
"""Refuse a bundle whose core scores stand at too many bases: they are a way around the motifs.

    python train/evaluate/core_share.py TOPK.json [--most 0.02]

TOPK.json is of train/evaluate/topk.py. Every model in it is looked at, of both kinds, each of
several runs, on all sets of genes. Exit 1 where acceptor or donor scores of one stand at more than
`--most` of the bases, or where the file does not say at how many.
"""

from __future__ import annotations

import argparse
import json

MOST = 0.02  # share of bases


def excess(topk: dict[str, dict], most: float = MOST) -> str:
    """Which rows of topk.json have more core scores than allowed, in words; "" where none has.
    Raises ValueError where no row says at how many bases they stand."""
    shares = {title: max(row["core_share"]) for title, row in topk.items() if "core_share" in row}
    if not shares:
        raise ValueError("it does not say at how many bases core scores stand")
    return "; ".join(f"{title}: {share:.1%}" for title, share in shares.items() if share > most)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("topk", help="JSON of topk.py")
    parser.add_argument("--most", type=float, default=MOST, help="share of bases [default: 0.02]")
    args = parser.parse_args()
    try:
        with open(args.topk) as handle:
            found = excess(json.load(handle), args.most)
    except (OSError, ValueError) as e:
        raise SystemExit(f"cannot judge the core scores of {args.topk}: {e}") from e
    if found:
        raise SystemExit(
            f"refused: core scores at more than {args.most:.1%} of the bases ({found}; {args.topk})"
        )


if __name__ == "__main__":
    main()
