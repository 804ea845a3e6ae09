"""`samvar train`: a command for each step from genomes to a weight bundle."""

from __future__ import annotations

import click

from ..options import LazyGroup

COMMANDS = {
    "am": "samvar.cli.train.sam",
    "average": "samvar.cli.train.average",
    "background": "samvar.cli.train.background",
    "bundle": "samvar.cli.train.bundle",
    "card": "samvar.cli.train.card",
    "evaluate": "samvar.cli.train.evaluate",
    "fm": "samvar.cli.train.sam",
    "lssi": "samvar.cli.train.lssi",
    "prepare": "samvar.cli.train.prepare",
}


@click.group(cls=LazyGroup, modules=COMMANDS)
def train() -> None:
    """Rebuild the weights: prepare, lssi, fm, am, evaluate, bundle, card, background."""
