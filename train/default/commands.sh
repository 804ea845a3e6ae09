#!/usr/bin/env bash
# Rebuild the bundle `default`: bash train/default/commands.sh DATA FOLDER
# DATA holds genome/, annotation/, motifs/, teachers/, variants/, exons/ and tables/; FOLDER receives the datasets,
# the labels, the runs and the evaluations. A stopped run goes on when the script is started again.
# DEVICE=cuda for the second round, which is too much for a CPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$1 out=$2 device=${DEVICE:-cpu}
hg19="-f $data/genome/hg19.fa.gz -a $data/annotation/canonical.hg19.tsv.gz"
seeds=$data/teachers/openspliceai-mane/2000nt
mkdir -p "$out"

# The genes of `paper`, with its 79 RBPs, with the panel of 98, and with the 46 regulators among these
prepare() {  # DATASET OPTION ...
    [ -e "$out/$1.npz" ] || samvar train prepare $hg19 -f "$data/genome/extra.fa.gz" -a "$data/annotation/extra.tsv.gz" \
        --leave-out chr9 --held-out "$data/annotation/held_out_genes.txt" "${@:2}" -o "$out/$1.npz"
}
prepare data --motifs "$data/motifs/rbns"
prepare panel --motifs "$data/motifs" --panel train/panel/panel.tsv
prepare regulators --motifs "$data/motifs" --panel train/panel/regulators.tsv

# What the teacher says: of edited windows, of every substitution near sites, and the yardstick (five seeds)
teach() {  # FOLDER DATASET RECIPE SEEDS NAMES [OPTION ...]
    samvar train teach "train/teach/$3.toml" -d "$out/$2.npz" -o "$out/$1" --resume "${@:6}" \
        --teacher-name "OpenSpliceAI, 2,000 bases of context, seeds $5 (GPL-3)" $(ls "$seeds"/*rs1[$4].p* | sed 's/^/--teacher /')
}
teach soft-1 data windows 0-2 "10, 11 and 12"
teach effects data effects 0-2 "10, 11 and 12"
teach pairs data yardstick 0-4 "10 to 14"
teach soft-2 panel windows-2 0-4 "10 to 14" --device "$device"
teach soft-3 regulators windows-3 0-4 "10 to 14" --device "$device"
teach soft-4 regulators windows-4 0-2 "10, 11 and 12"

# First round, on one core: learnt motifs, then one run after the other
run() {  # NAME DATASET LABELS START [OPTION ...]
    samvar train am "train/teach/$1.toml" -d "$out/$2.npz" -o "$out/$1" --resume --start-from "$4" \
        --soft-labels "$out/$3" "${@:5}"
}
samvar train motifs train/teach/motifs.toml -d "$out/data.npz" -o "$out/motifs-1" --resume --effects "$out/effects"
run am-3 data soft-1 paper:am
run am-4 data soft-1 "$out/am-3" --learnt-motifs "$out/motifs-1"
run am-5 data soft-1 "$out/am-4"
run am-6 panel soft-1 "$out/am-5"
run am-7 panel soft-1 "$out/am-6"
samvar train bundle --name taught --am "$out/am-7" -d "$out/panel.npz" --temperature 2.5 -o "$out/taught"

# Second round, on a GPU: am-8 was the bundle `default` until am-15 was, am-9 and am-10 have other densities; am-11 to
# am-13 have branch points
for name in am-8 am-9 am-10; do run $name panel soft-2 "$out/taught:am" --device "$device"; done
for name in am-11 am-12 am-13; do run $name panel soft-2 "$out/am-8"; done

# Third round, on a GPU: regulators, with candidates of their own; from am-8 as it was shipped, in half precision
samvar train bundle --name former --am "$out/am-8" -d "$out/panel.npz" --temperature 2 -o "$out/former"
for name in am-14 am-15; do run $name regulators soft-3 "$out/former:am" --device "$device"; done
python train/evaluate/yardstick.py "$out/pairs" "$out/former:am" "$out/am-14" "$out/am-15" --families 250 \
    --json "$out/regulators.json"

# Fourth round, on one core: binding in cells, from am-15 as it was shipped, in half precision; then a narrower
# aggregator, trained on alone, at last with the annotation's labels; the mean of the last two
[ -e "$out/bound.npz" ] || samvar train bound -d "$out/regulators.npz" -f "$data/genome/hg38.fa.gz" \
    -a "$data/annotation/refseq.hg38.bed12+gene.gz" --peaks "$data/eclip/hg38" \
    --held-out "$data/annotation/held_out_genes.txt" -o "$out/bound.npz"
samvar train bundle --name third --am "$out/am-15" -d "$out/regulators.npz" --temperature 2.5 -o "$out/third"
run am-24 regulators soft-3 "$out/third:am" --bound "$out/bound.npz"
[ -e "$out/am-31" ] || samvar train narrow "$out/am-24" -d "$out/regulators.npz" --inner 16 -o "$out/am-31"
run am-32 regulators soft-4 "$out/am-31"
run am-33 regulators soft-4 "$out/am-32"
[ -e "$out/am-34" ] || samvar train average "$out/am-32" "$out/am-33" -d "$out/regulators.npz" -o "$out/am-34"
python train/evaluate/yardstick.py "$out/pairs" "$out/am-33" "$out/am-34" --families 250 --json "$out/labels.yardstick.json"

# The bundle, and what is said of its accuracy. Not run for want of time: genes with paralogs, what a decoder reads back
# (evaluate/reconstruct.py).
bundle() {  # FOLDER [OPTION ...]
    samvar train bundle --name default --am "$out/am-34" -d "$out/regulators.npz" --soft-labels "$out/soft-4" \
        --temperature 2.5 -o "$@"
}
bundle weights/default
evaluate() {  # SCRIPT ARGUMENT ...
    python "train/evaluate/$1.py" "${@:2}" --json "$out/$1.json"
}
evaluate temperature "$data" --model default
evaluate topk "$data" --model default --no-paralogs --sets validation
python train/evaluate/core_share.py "$out/topk.json"
python train/evaluate/topk.py "$data" --model default --no-paralogs --sets test --json "$out/entropy.json"
evaluate variants "$data" --model default --table "$out/variants.tsv.gz"
samvar train bundle --name fourth --am "$out/am-32" -d "$out/regulators.npz" --temperature 2.5 -o "$out/fourth"
python train/evaluate/variants.py "$data" --model "$out/fourth" --table "$out/former.tsv.gz" --json "$out/former.json"
evaluate leads "former=$out/former.tsv.gz" "default=$out/variants.tsv.gz" --of default --over former
evaluate exons "$data" default --sets MFASS MaPSy "FAS exon 6"
evaluate yardstick "$out/pairs" default --families 60
bundle weights/default --evaluation "$out/topk.json" --evaluation "$out/entropy.json" \
    --evaluation "$out/variants.json" --evaluation "$out/exons.json" --evaluation "$out/yardstick.json"

# How sure a score is, the scale of `samvar explain`'s percentiles, and what causes and events are worth
python train/evaluate/calibration.py "$data" --model default
vcf=$data/vcf hg38="-f $data/genome/hg38.fa.gz -a $data/annotation/refseq.hg38.bed12+gene.gz"
background() {  # BUNDLE
    samvar train background "$vcf/1kgp3_chr20_1-2Mb.hg19.vcf.gz" "$vcf/GM12878_ENCSR792OIJ_variants.vcf.gz" \
        "$vcf/happy_PG_NA12878_hg38_chr21.vcf.gz" \
        -f "$data/genome/hg19.fa.gz" -a "$data/annotation/canonical.hg19.tsv.gz" $hg38 $hg38 --model "weights/$1"
}
background default
python train/evaluate/in_vivo.py "$data" --model default
samvar train card weights/default
evaluate cases "$data" --model default
evaluate events "$data" --model default

# Two runs of the third round together
large() {  # [OPTION ...]
    samvar train bundle --name large --am "$out/am-15" --am "$out/am-14" -d "$out/regulators.npz" \
        --soft-labels "$out/soft-3" --temperature 2.5 -o weights/large "$@"
}
of_large() {  # SCRIPT ARGUMENT ...
    python "train/evaluate/$1.py" "${@:2}" --json "$out/large.$1.json"
}
large
of_large topk "$data" --model large --no-paralogs --sets validation
python train/evaluate/core_share.py "$out/large.topk.json"
python train/evaluate/topk.py "$data" --model large --single --sets test --json "$out/large.test.json"
of_large variants "$data" --model large
of_large exons "$data" large --sets MFASS MaPSy "FAS exon 6"
of_large yardstick "$out/pairs" large --families 60
large --evaluation "$out/large.topk.json" --evaluation "$out/large.test.json" --evaluation "$out/large.variants.json" \
    --evaluation "$out/large.exons.json" --evaluation "$out/large.yardstick.json"
python train/evaluate/calibration.py "$data" --model large
background large
python train/evaluate/in_vivo.py "$data" --model large
samvar train card weights/large
of_large cases "$data" --model large
of_large events "$data" --model large

# Teacher, SpliceAI, MMSplice and 7-mers beside them on the same rows; what they say stays in $out/scores. Of ClinVar a
# sample, and of the sets that SpliceAI sees, too, a sample for it, since it takes a second a row
beside() {  # JSON OPTION ...
    python train/evaluate/exons.py "$data" default large paper --teacher "$seeds"/*.pt --peers "$out/peers" \
        --scores "$out/scores" --json "$out/$1.json" "${@:2}"
}
beside beside --programs spliceai mmsplice --most-of-spliceai 30 --sets MaPSy MFASS "FAS exon 6"
beside beside.ci --programs mmsplice --sets CI-SpliceAI
beside beside.clinvar --programs mmsplice --most 60 --sets ClinVar

# What else there is to say of motifs and causes: hexamers, eCLIP peaks, RNA maps, completeness
python train/evaluate/hexamers.py "$data" default large paper --json "$out/hexamers.json"
eclip="--chroms chr1,chr3 --no-all --extend5 50"
evaluate eclip "$data" --model default $eclip
of_large eclip "$data" --model large $eclip
python train/evaluate/eclip.py "$data" --model paper $eclip --json "$out/paper.eclip.json"
evaluate rna_maps "$data" --model default --exons 1000
of_large rna_maps "$data" --model large --exons 1000
evaluate attribution "$data" --model default
of_large attribution "$data" --model large
python train/evaluate/attribution.py "$data" --model paper --json "$out/paper.attribution.json"

# All of it in one table, for the cards: of the results that are in train/
python train/evaluate/in_one_table.py weights/default weights/large weights/paper
