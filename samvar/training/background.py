"""What effects random real variants have: the scale against which one effect is read."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable

from .. import annotate as spine
from .. import files
from ..annotate import Options
from ..errors import SamvarError
from ..formats.vcf import VcfReader
from ..genomics.genes import Annotation
from ..genomics.genome import Genome
from ..model.bundle import background_file, write_manifest
from ..scoring.attribution import PartKind
from ..scoring.predictor import Predictor

KEPT = 5000  # effects kept of each RBP, the strongest
LEAST_DELTA, LEAST_EFFECT = 0.05, 0.0005  # below these an effect counts as none
CHUNK = 200


def collect(
    sources: list[tuple[str, Genome, Annotation]],
    predictor: Predictor,
    options: Options,
    say: Callable[[str], None],
) -> dict:
    """sources: (VCF, genome, annotation). For every scored allele and gene, and every RBP and core
    site, the strongest |effect| on any delta; returned are the number of alleles and genes, and
    each name's strongest effects, descending.
    """
    strongest: dict[str, list[float]] = defaultdict(list)
    n, names = 0, []
    for vcf, genome, genes in sources:
        with VcfReader(vcf, []) as reader:
            for records in spine.chunks(reader, CHUNK):
                alleles = [a for r in records for a in spine.alleles_of(r)]
                for allele in spine.score(genome, genes, predictor, alleles, options):
                    n += len(allele.genes)
                    for gene in allele.genes:
                        for name, effect in _strongest(gene.causes).items():
                            strongest[name].append(effect)
        names.append(os.path.basename(vcf))
        say(f"{vcf}: {n} alleles in genes so far")
    if not n:
        raise SamvarError(
            "no allele of these VCFs could be scored: do VCF, FASTA and annotation belong together?"
        )
    bundle = predictor.bundle
    return dict(
        kind=bundle.kind,
        sha256=bundle.sha256,
        n=n,
        files=names,
        least_delta=LEAST_DELTA,
        least_effect=LEAST_EFFECT,
        effects={
            name: sorted((round(e, 4) for e in strongest[name]), reverse=True)[:KEPT]
            for name in bundle.layout.names
        },
    )


def _strongest(causes) -> dict[str, float]:
    out: dict[str, float] = {}
    for cause in causes:
        for part in cause.parts:
            if part.kind is not PartKind.SPACING and abs(part.effect) >= LEAST_EFFECT:
                out[part.rbp] = max(out.get(part.rbp, 0.0), abs(part.effect))
    return out


def add_to_bundle(folder: str, background: dict) -> None:
    """Write background.KIND.json into a bundle's folder, and update its manifest."""
    files.write(background_file(folder, background["kind"]), json.dumps(background) + "\n")
    write_manifest(folder)
