"""`samvar train`: a command for each step from genomes to a weight bundle."""

from __future__ import annotations

import click

from ..options import LazyGroup

COMMANDS = {
    "prepare": "samvar.cli.train.prepare",
    "lssi": "samvar.cli.train.lssi",
    "fm": "samvar.cli.train.sam",
    "cnn": "samvar.cli.train.cnn",
    "teach": "samvar.cli.train.teach",
    "motifs": "samvar.cli.train.motifs",
    "branch-points": "samvar.cli.train.motifs",
    "bound": "samvar.cli.train.bound",
    "am": "samvar.cli.train.sam",
    "binding": "samvar.cli.train.binding",
    "probes": "samvar.cli.train.probes",
    "nfm": "samvar.cli.train.nfm",
    "average": "samvar.cli.train.average",
    "narrow": "samvar.cli.train.narrow",
    "evaluate": "samvar.cli.train.evaluate",
    "bundle": "samvar.cli.train.bundle",
    "card": "samvar.cli.train.card",
    "background": "samvar.cli.train.background",
}


@click.group(cls=LazyGroup, modules=COMMANDS)
def train() -> None:
    """Train models, from genomes to a weight bundle.

    The commands are listed in the order in which they are used.
    """
