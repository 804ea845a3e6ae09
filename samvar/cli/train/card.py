"""`samvar train card`."""

from __future__ import annotations

import click

from ..options import user_errors


@click.command()
@click.argument("bundle", metavar="NAME|FOLDER")
@user_errors
def card(bundle) -> None:
    """Write the card of a bundle again.

    The card, CARD.md, is made of the bundle's config.json and metrics.json.
    """
    from ...model.bundle import load_bundle
    from ...training.card import write_card

    write_card(load_bundle(bundle).folder)
