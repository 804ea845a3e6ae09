"""The command line: options in, one library call each, errors turned into messages and exit
codes."""

from __future__ import annotations

import gc
import signal
import sys

import click

from .. import __version__
from .options import LazyGroup

COMMANDS = {
    "annotate": "samvar.cli.annotate",
    "compare": "samvar.cli.compare",
    "eig": "samvar.cli.eig",
    "explain": "samvar.cli.explain",
    "gia": "samvar.cli.gia",
    "junctions": "samvar.cli.junctions",
    "knockout": "samvar.cli.knockout",
    "motifs": "samvar.cli.motifs",
    "precompute": "samvar.cli.precompute",
    "predict": "samvar.cli.predict",
    "report": "samvar.cli.report",
    "scan": "samvar.cli.scan",
    "serve": "samvar.cli.serve",
    "train": "samvar.cli.train",
    "verify": "samvar.cli.verify",
}


@click.group(
    cls=LazyGroup, modules=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="samvar")
def main() -> None:
    """Predict how variants change splicing, and which protein-binding sites are the cause.

    Start with `samvar annotate` for a VCF, or `samvar explain` for one variant.
    """
    gc.set_threshold(50_000)  # what a start loads stays: rubbish is looked for less often
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) != signal.SIG_IGN:  # as nohup has it
            signal.signal(ending, lambda number, _: sys.exit(128 + number))  # half-written files go
