"""`samvar train card`."""

from __future__ import annotations

import click

from ..options import user_errors


@click.command()
@click.argument("bundle")
@user_errors
def card(bundle) -> None:
    """Write the card of BUNDLE anew, from its config.json and metrics.json."""
    from ...model.bundle import load_bundle
    from ...training.card import write_card

    write_card(load_bundle(bundle).folder)
