#!/usr/bin/env python3
"""Score the alleles of a VCF on many processes or machines with Ray Data; a Parquet file comes out.

    pip install 'samvar[ray]'
    python examples/ray/annotate.py in.vcf.gz genome.fa genes.gtf.gz scores.parquet --actors 2

Each actor loads model, genome and annotation once, and scores blocks of neighbouring alleles: what
is computed of the reference serves the variants nearby. The columns are those of
`samvar.arrow.SCHEMA`, the digits those of `samvar annotate`, whatever the number of actors. On a
cluster the paths must be readable on every machine.
"""

import argparse
from collections.abc import Iterator
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq
import pysam
import ray

from samvar.arrow import SCHEMA, score_batch

BLOCK = 2000  # alleles that an actor scores together


class Score:
    """The actor: its process keeps what `score_batch` has loaded."""

    def __init__(self, *files: str):
        self.files = files

    def __call__(self, block: pa.Table) -> pa.Table:
        batches = block.combine_chunks().to_batches()
        return pa.Table.from_batches([score_batch(b, *self.files) for b in batches])


def blocks(path: str) -> Iterator[pa.Table]:
    """The ALT alleles of a VCF, in its order."""
    with pysam.VariantFile(path) as vcf:
        alleles = ((r.chrom, r.pos, r.id, r.ref, alt) for r in vcf for alt in r.alts or ())
        while block := list(islice(alleles, BLOCK)):
            columns = map(list, zip(*block))
            yield pa.table(dict(zip(("CHROM", "POS", "ID", "REF", "ALT"), columns)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("vcf", help="sorted by position")
    parser.add_argument("fasta")
    parser.add_argument("annotation")
    parser.add_argument("output", help="Parquet file, in the order of the VCF")
    parser.add_argument("--model", default="default")
    parser.add_argument("--actors", type=int, default=2)
    args = parser.parse_args()
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    scored = ray.data.from_arrow(list(blocks(args.vcf))).map_batches(
        Score,
        fn_constructor_args=(args.fasta, args.annotation, args.model),
        batch_size=None,  # a block as it is
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=args.actors),
    )
    with pq.ParquetWriter(args.output, SCHEMA) as writer:
        for block in scored.iter_batches(batch_size=None, batch_format="pyarrow"):
            writer.write_table(block)


if __name__ == "__main__":
    main()
