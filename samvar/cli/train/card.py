"""`samvar train card`."""

from __future__ import annotations

import click

from ..options import user_errors


@click.command()
@click.option(
    "--model",
    "model_name",
    metavar="NAME|FOLDER",
    required=True,
    help="Bundle whose CARD.md is written.",
)
@user_errors
def card(model_name) -> None:
    """Write the card of a bundle again, from its config.json and metrics.json."""
    from ...model.bundle import load_bundle
    from ...training.card import write_card

    write_card(load_bundle(model_name).folder)
