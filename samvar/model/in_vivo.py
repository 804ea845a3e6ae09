"""What binds the sites of a motif in cells: the proteins in whose CLIP peaks they lie more often
than their surroundings explain, measured for one bundle's models alone."""

from __future__ import annotations

import os
from typing import NamedTuple

from .. import files

FILE = "in_vivo.json"  # of a bundle: by kind of its models
FEWEST = 30  # sites in peaks that tell something


class Bound(NamedTuple):
    """A protein and the sites of a motif.

    sites       in the protein's CLIP peaks
    enrichment  how many times as many as are expected of such places; `lower` and `upper`, 95 %
                interval by drawing genes
    """

    protein: str
    sites: int
    enrichment: float
    lower: float
    upper: float

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.protein} ({self.enrichment:.1f})"

    @property
    def doubt(self) -> str:
        """What speaks against the protein, in words; "" where it surely binds the sites."""
        if self.lower > 1:
            return ""
        few = self.sites < FEWEST and self.upper > 1
        return ", too few to tell" if few else ", which does not support the name"


class InVivo(NamedTuple):
    """What is known of a motif. `bound`: the proteins that bind its sites, those that are surest to
    do so first; `own`: the proteins that it is named for, as far as CLIP was measured for them,
    whether they bind its sites or not."""

    bound: tuple[Bound, ...]
    own: tuple[Bound, ...]

    @property
    def text(self) -> str:
        """What CLIP says of the name, in words; "" where there was none of its proteins."""
        told = [
            f"{b.enrichment:.1f} times as many of its sites as expected lie in CLIP peaks of "
            f"{b.protein} (95 %: {b.lower:.1f}-{b.upper:.1f}){b.doubt}"
            for b in self.own
        ]
        return "; ".join(told)


def in_vivo_of(folder: str, kind: str, sha256: str) -> dict[str, InVivo]:
    """Of each motif of the models with this `identity`; nothing where the folder has none of
    them."""
    own = files.read_json(os.path.join(folder, FILE)).get(kind, {})
    if own.get("sha256") != sha256:
        return {}
    return {
        name: InVivo(*(tuple(Bound(*row) for row in found[which]) for which in InVivo._fields))
        for name, found in own["motifs"].items()
    }
