"""samvar: what a variant does to splicing, and which RNA-binding-protein sites it does it through.

    import samvar

    with samvar.load("genome.fa", "genes.gtf") as scorer:
        allele = scorer.score("chr20", 1234, "A", "G")

See `load` and `Scorer`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .annotate import Options
    from .errors import SamvarError
    from .genomics.variant import Status
    from .scorer import Scorer, load
    from .scoring.effects import GeneEffect, ScoredAllele
    from .views.explanation import Explanation

__all__ = [
    "Explanation",
    "GeneEffect",
    "Options",
    "SamvarError",
    "ScoredAllele",
    "Scorer",
    "Status",
    "load",
]

_WHERE = {
    "Explanation": ".views.explanation",
    "GeneEffect": ".scoring.effects",
    "Options": ".annotate",
    "SamvarError": ".errors",
    "ScoredAllele": ".scoring.effects",
    "Scorer": ".scorer",
    "Status": ".genomics.variant",
    "load": ".scorer",
}


def __getattr__(name: str) -> Any:
    """The library, imported when it is first asked for: `samvar --help` waits for no torch."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
