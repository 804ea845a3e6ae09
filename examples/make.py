#!/usr/bin/env python3
"""Write minigenes.fa, minigenes.gtf and minigenes.vcf: designed genes and variants whose effect is
known by design.

    python examples/make.py [FOLDER]

Sequence is random but for the designed parts, so the files are the same at every run.
"""

from __future__ import annotations

import os
import random
import sys

COMPLEMENT = str.maketrans("ACGT", "TGCA")
BRANCH = "TTGCTAACTTGTA"  # branch point, to stand before the polypyrimidine tract
ACCEPTOR, DONOR = (
    "TTTCTTTTTCTTCCCTTTGCAG",
    "GTAAGT",
)  # intron's end with its polypyrimidine tract, intron's start
ENHANCER = "GAAGAAGA"  # purine-rich exonic enhancer


class Gene:
    """A gene as a list of labelled pieces, in transcript orientation."""

    def __init__(self, name: str, strand: str):
        self.name, self.strand = name, strand
        self.pieces: list[
            tuple[str, str]
        ] = []  # (label, sequence); labels of exons start with "exon"

    def add(self, label: str, sequence: str) -> None:
        self.pieces.append((label, sequence))

    def start_of(self, label: str) -> int:
        at = 0
        for name, sequence in self.pieces:
            if name == label:
                return at
            at += len(sequence)
        raise KeyError(label)

    @property
    def sequence(self) -> str:
        return "".join(s for _, s in self.pieces)


def exonic(rng: random.Random, n: int) -> str:
    """Random exon-like sequence without GT or AG, so that no site arises by chance."""
    return _random(rng, n, (0.32, 0.24, 0.26, 0.18))


def intronic(rng: random.Random, n: int) -> str:
    return _random(rng, n, (0.27, 0.19, 0.18, 0.36))


def _random(rng: random.Random, n: int, weights: tuple[float, ...]) -> str:
    out = ""
    while len(out) < n:
        base = rng.choices("ACGT", weights)[0]
        if (out + base)[-2:] not in ("GT", "AG"):
            out += base
    return out


def design() -> list[Gene]:
    """STRONG (plus): consensus sites. WEAK (minus): a cassette exon with weak sites and enhancers.
    CRYPTIC (plus): an intron with a near-acceptor and with a pseudo-exon that is one base short of
    a donor."""
    rng = random.Random(20260101)
    genes = []
    for name, strand in (("STRONG", "+"), ("WEAK", "-"), ("CRYPTIC", "+")):
        g = Gene(name, strand)
        g.add("exon1", exonic(rng, 137) + "CAG")
        g.add("donor1", DONOR)
        if name == "CRYPTIC":
            g.add("intron1a", intronic(rng, 500) + BRANCH)
            g.add("tract_pseudo", ACCEPTOR)
            g.add(
                "pseudo",
                "G"
                + exonic(rng, 40)
                + ENHANCER
                + exonic(rng, 40)
                + ENHANCER
                + exonic(rng, 20)
                + "CAG",
            )
            g.add("donor_pseudo", "GAAAGT")
            g.add("intron1b", intronic(rng, 500) + BRANCH)
        else:
            g.add("intron1", intronic(rng, 600) + BRANCH)
        g.add(
            "acceptor2",
            {"WEAK": "TTTATCTTTAATTCCATTGCAG", "STRONG": "ACTTGTCTTCATTTCATTACAG"}.get(
                name, ACCEPTOR
            ),
        )
        if name == "WEAK":
            g.add("exon2", "A" + exonic(rng, 20))
            g.add("exon2_enhancer", ENHANCER * 2)
            g.add("exon2_rest", exonic(rng, 50) + "CAA")
            g.add("donor2", "GTAAAT")
        else:
            g.add("exon2", "G" + exonic(rng, 50) + ENHANCER + exonic(rng, 60) + "CAG")
            g.add("donor2", DONOR)
        g.add("intron2a", intronic(rng, 350) + BRANCH)
        g.add("tract_new", "TTTCTTTTTCTTCCCTTTGCAA")  # one base from an acceptor
        g.add("intron2b", intronic(rng, 230) + BRANCH)
        g.add("acceptor3", ACCEPTOR)
        g.add("exon3", "G" + exonic(rng, 40) + ENHANCER + exonic(rng, 180))
        genes.append(g)
    return genes


class Genome:
    """One contig with the genes on it, random sequence between them; positions 1-based."""

    def __init__(self, genes: list[Gene]):
        rng = random.Random(7)
        self.sequence, self.at = intronic(rng, 400), {}
        for g in genes:
            self.at[g.name] = len(self.sequence)
            own = g.sequence if g.strand == "+" else g.sequence[::-1].translate(COMPLEMENT)
            self.sequence += own + intronic(rng, 400)
        self.genes = {g.name: g for g in genes}

    def position(self, gene: str, label: str, offset: int) -> int:
        """1-based position of the base `offset` bases into a piece."""
        g = self.genes[gene]
        i = g.start_of(label) + offset
        return self.at[gene] + (i if g.strand == "+" else len(g.sequence) - 1 - i) + 1

    def snv(self, gene: str, label: str, offset: int, base: str) -> tuple[int, str, str]:
        """POS, REF, ALT of a change to `base` in transcript orientation."""
        pos = self.position(gene, label, offset)
        base = base if self.genes[gene].strand == "+" else base.translate(COMPLEMENT)
        return pos, self.sequence[pos - 1], base

    def delete(self, gene: str, label: str, offset: int, n: int) -> tuple[int, str, str]:
        """POS, REF, ALT of a deletion of `n` bases of the transcript."""
        ends = self.position(gene, label, offset), self.position(gene, label, offset + n - 1)
        pos = min(ends) - 1
        return pos, self.sequence[pos - 1 : pos + n], self.sequence[pos - 1]


def variants(genome: Genome) -> list[tuple[int, str, str, str]]:
    """POS, ID, REF, ALT."""
    strong_donor = genome.snv("STRONG", "donor2", 0, "A")
    enhancer_end = genome.position(
        "WEAK", "exon2_enhancer", 2 * len(ENHANCER) - 1
    )  # minus strand: the leftmost base
    enhancer = genome.sequence[enhancer_end - 1 : enhancer_end - 1 + 2 * len(ENHANCER)]
    rows = [
        ("outside_genes", (10, genome.sequence[9], "ACGT".replace(genome.sequence[9], "")[0])),
        ("donor_destroyed", strong_donor),
        ("acceptor_destroyed", genome.snv("STRONG", "acceptor2", 21, "T")),
        ("donor_deleted", genome.delete("STRONG", "donor2", 0, 4)),
        ("new_acceptor", genome.snv("STRONG", "tract_new", 21, "G")),
        ("intron_neutral", genome.snv("STRONG", "intron1", 300, "C")),
        ("two_alts", (strong_donor[0] + 1, "T", "A,C")),
        ("deletion_symbol", (strong_donor[0] + 3, "A", "<DEL>")),
        ("wrong_ref", (strong_donor[0] + 2, "C", "G")),
        ("enhancer_lost", (enhancer_end, enhancer, enhancer.replace("T", "A"))),
        ("weak_donor_destroyed", genome.snv("WEAK", "donor2", 1, "C")),
        ("pseudo_exon", genome.snv("CRYPTIC", "donor_pseudo", 1, "T")),
    ]
    return sorted((pos, name, ref, alt) for name, (pos, ref, alt) in rows)


def write(folder: str) -> None:
    genome = Genome(design())
    path = os.path.join(folder, "minigenes")
    with open(path + ".fa", "w") as f:
        f.write(">mini\n")
        for i in range(0, len(genome.sequence), 60):
            f.write(genome.sequence[i : i + 60] + "\n")
    with open(path + ".gtf", "w") as f:
        for name, g in genome.genes.items():
            f.writelines(_gtf(genome, name, g))
    with open(path + ".vcf", "w") as f:
        f.write(f"##fileformat=VCFv4.2\n##contig=<ID=mini,length={len(genome.sequence)}>\n")
        f.write('##ALT=<ID=DEL,Description="Deletion">\n')
        f.write("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for pos, name, ref, alt in variants(genome):
            f.write(f"mini\t{pos}\t{name}\t{ref}\t{alt}\t.\t.\t.\n")


def _gtf(genome: Genome, name: str, gene: Gene) -> list[str]:
    exons: list[list[int]] = []
    at, before = 0, ""
    for label, sequence in gene.pieces:
        if label.startswith("exon"):
            if before.startswith("exon"):
                exons[-1][1] = at + len(sequence)
            else:
                exons.append([at, at + len(sequence)])
        at, before = at + len(sequence), label
    length, start = len(gene.sequence), genome.at[name]
    if gene.strand == "-":
        exons = [[length - e, length - s] for s, e in reversed(exons)]
    ids = f'gene_id "{name}"; gene_name "{name}"'
    line = "mini\tdesign\t{}\t{}\t{}\t.\t" + gene.strand + "\t.\t{}\n"
    tx = f'{ids}; transcript_id "{name}.1";'
    return [
        line.format("gene", start + 1, start + length, ids + ";"),
        line.format("transcript", start + 1, start + length, tx),
        *(line.format("exon", start + s + 1, start + e, tx) for s, e in exons),
    ]


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
