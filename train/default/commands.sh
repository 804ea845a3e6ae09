#!/usr/bin/env bash
# Rebuild the bundle `default`: bash train/default/commands.sh DATA FOLDER
# DATA holds genome/, annotation/, motifs/ and variants/; FOLDER receives the dataset, the runs and the evaluations.
# A stopped run goes on when the script is started again.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$1 out=$2
hg19="-f $data/genome/hg19.fa.gz -a $data/annotation/canonical.hg19.tsv.gz"
mkdir -p "$out"

[ -e "$out/data.npz" ] || samvar train prepare $hg19 -f "$data/genome/extra.fa.gz" -a "$data/annotation/extra.tsv.gz" \
    --motifs "$data/motifs/rbns" --held-out "$data/annotation/held_out_genes.txt" -o "$out/data.npz"

# First round
run() {  # KIND ROUND [OPTION ...]
    samvar train "$1" "train/default/$1-$2.toml" -d "$out/data.npz" -o "$out/$1-$2" --resume "${@:3}"
}
run lssi 1
run fm 1 --lssi "$out/lssi-1"
run am 1 --lssi "$out/lssi-1" --start-from "$out/fm-1"

# Second round: core sites that have seen more negatives, then both models go on with them, a little sparser
run lssi 2
run am 2 --lssi "$out/lssi-2" --start-from "$out/am-1"
run fm 2 --lssi "$out/lssi-2" --start-from "$out/fm-1"

# The validation and test genes stand in two genomes
both="$hg19 -f $data/genome/extra.fa.gz -a $data/annotation/extra.tsv.gz --no-paralogs"
samvar train evaluate $both --chroms chr1,chr3 --run "$out/am-2" --json "$out/validation.am.json"
samvar train evaluate $both --chroms chr5,chr7 --run "$out/am-2" --json "$out/test.am.json"
samvar train evaluate $both --chroms chr1,chr3 --run "$out/fm-2" --json "$out/validation.fm.json" --no-entropy
samvar train evaluate $both --chroms chr5,chr7 --run "$out/fm-2" --json "$out/test.fm.json" --no-entropy
bundle() {
    samvar train bundle --name default --am "$out/am-2" --fm "$out/fm-2" -d "$out/data.npz" \
        --evaluation validation="$out/validation.am.json" --evaluation "validation, fm=$out/validation.fm.json" \
        --evaluation test="$out/test.am.json" --evaluation "test, fm=$out/test.fm.json" "$@" -o weights/default
}
bundle
python train/evaluate/variants.py mfass "$data/variants/mfass.hg19.tsv.gz" $hg19 --json "$out/mfass.json"
python train/evaluate/variants.py clinical "$data/variants/cispliceai_functional.hg38.tsv.gz" \
    -f "$data/genome/hg38.fa.gz" -a "$data/annotation/refseq.hg38.bed12+gene.gz" --json "$out/clinical.json"
bundle --evaluation "MFASS <= -0.5 (dev half)=$out/mfass.json" --evaluation "CI-SpliceAI functional (dev half)=$out/clinical.json"

# How far the LSTM must see; what --transcript-extent changes
python train/evaluate/frames.py "$data" --json "$out/frames.json"
python train/evaluate/extent.py "$data" --json "$out/extent.json"

# The scale of `samvar explain`'s percentiles, and what the causes are worth
vcf=$data/vcf hg38="-f $data/genome/hg38.fa.gz -a $data/annotation/refseq.hg38.bed12+gene.gz"
samvar train background "$vcf/1kgp3_chr20_1-2Mb.hg19.vcf.gz" "$vcf/GM12878_ENCSR792OIJ_variants.vcf.gz" \
    "$vcf/happy_PG_NA12878_hg38_chr21.vcf.gz" $hg19 $hg38 $hg38 --bundle weights/default
python train/evaluate/attribution.py "$data" --json "$out/attribution.json"
python train/evaluate/cases.py "$data" --json "$out/cases.json"
python train/evaluate/eclip.py "$data" --json "$out/eclip.json"
