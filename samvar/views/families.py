"""RNA-binding proteins that are related, whose motifs are alike."""

from __future__ import annotations

import re

from ..model.bottleneck import is_learnt
from ..scoring.attribution import Attribution, PartKind

FAMILIES = {  # of related proteins; others: the name up to its first digit
    "HNRNPA0": "HNRNPA",
    "HNRNPA1": "HNRNPA",
    "HNRNPA2B1": "HNRNPA",
    "HNRNPC": "HNRNPC",
    "HNRNPCL1": "HNRNPC",
    "RALY": "HNRNPC",
    "HNRNPD": "HNRNPD",
    "HNRNPDL": "HNRNPD",
    "HNRNPF": "HNRNPF/H",
    "HNRNPH2": "HNRNPF/H",
    "HNRNPK": "PCBP/HNRNPK",
    "PCBP1": "PCBP/HNRNPK",
    "PCBP2": "PCBP/HNRNPK",
    "PCBP4": "PCBP/HNRNPK",
    "FUBP1": "KHSRP/FUBP",
    "FUBP3": "KHSRP/FUBP",
    "KHSRP": "KHSRP/FUBP",
    "TRA2A": "SR",
    "TRA2B": "SR",
    "TIAL1": "TIA",
    "U2AF2": "U2AF",
    "SNRNP70": "SNRNP70",
    "HNRNPLL": "HNRNPL",
    "EWSR1": "FET",
    "FUS": "FET",
    "TAF15": "FET",
    "RBM4": "RBM4",
    "RBM4B": "RBM4",
    "RBM15B": "RBM15",
    "BOLL": "DAZ",
    "DAZ3": "DAZ",
}


def family(rbp: str) -> str:
    """Name of the group of related proteins, whose motifs are alike."""
    if rbp in FAMILIES:
        return FAMILIES[rbp]
    if is_learnt(rbp):
        return rbp
    if rbp.startswith("SRSF"):
        return "SR"
    if re.fullmatch(r"RBM\d+|ZNF\d+", rbp):
        return rbp
    letters = re.match(r"[A-Z]+?(?=\d|$)", rbp)
    return letters[0] if letters else rbp


def families(cause: Attribution) -> list[tuple[str, float]]:
    """Effects summed over related proteins, strongest first."""
    total: dict[str, float] = {}
    for p in cause.parts:
        name = family(p.rbp) if p.kind is PartKind.MOTIF else p.rbp
        total[name] = total.get(name, 0.0) + p.effect
    return sorted(total.items(), key=lambda item: -abs(item[1]))
