# Spliced introns as contigs with one gene each: awk -v fasta=OUT.fa -f introns.awk [-v genes=REGEX] TABLE > OUT.tsv
# TABLE has lines of 50 exonic bases, intron, 50 exonic bases, spliced reads, gene; those with fewer than 10 reads, and
# genes that do not match, are left out. OUT.tsv is an exon table beside OUT.fa.
BEGIN {
    OFS = "\t"
    print "gene", "has_paralog", "contig", "strand", "tx_start1", "tx_end1", "exon_ends1", "exon_starts1", "chrom"
}
$4 >= 10 && $5 ~ genes {
    a = length($1)
    b = a + length($2)
    print ">i" ++n "\n" $1 $2 $3 > fasta
    print $5, 0, "i" n, "+", 1, b + length($3), a, b + 1, "introns"
}
