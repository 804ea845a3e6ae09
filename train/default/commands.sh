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

# Third round: am-2 goes on twice, plainly and with changed windows, and the three are averaged
run am 3 --lssi "$out/lssi-2" --start-from "$out/am-2"
run am 4 --lssi "$out/lssi-2" --start-from "$out/am-2"
[ -e "$out/am-5/recipe.json" ] || samvar train average "$out/am-2" "$out/am-3" "$out/am-4" -d "$out/data.npz" \
    --density 0.0015 -o "$out/am-5"

# The bundle; what its temperature does; all that is said of its accuracy
bundle() {  # FOLDER [OPTION ...]
    samvar train bundle --name default --am "$out/am-5" --fm "$out/fm-2" -d "$out/data.npz" -o "$@"
}
bundle weights/default --temperature 2.5
python train/evaluate/temperature.py "$data" --bundle weights/default --json "$out/temperature.json"
bash train/evaluate/suite.sh "$data" "$out/data.npz" weights/default "$out/suite"
bundle weights/default --temperature 2.5 --evaluation "$out/suite/suite.json"

# One run alone, and the mean probability of the three: what averaging is worth
samvar train bundle --name three --am "$out/am-2" --am "$out/am-3" --am "$out/am-4" -d "$out/data.npz" -o "$out/three"
python train/evaluate/topk.py "$data" --bundle "$out/three" --sets validation --single --json "$out/three.json"

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
