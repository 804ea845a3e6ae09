#!/usr/bin/env bash
# Rebuild the bundle `paper`: bash train/paper/commands.sh DATA FOLDER
# DATA holds genome/, annotation/, motifs/, variants/, exons/, eclip/, tables/, teachers/ and vcf/; FOLDER receives the
# dataset, the runs and the evaluations.
# A stopped run goes on when the script is started again.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$1 out=$2
hg19="-f $data/genome/hg19.fa.gz -a $data/annotation/canonical.hg19.tsv.gz"
mkdir -p "$out"

[ -e "$out/data.npz" ] || samvar train prepare $hg19 -f "$data/genome/extra.fa.gz" -a "$data/annotation/extra.tsv.gz" \
    --motifs "$data/motifs/rbns" --leave-out chr9 --held-out "$data/annotation/held_out_genes.txt" -o "$out/data.npz"

# First round
run() {  # KIND ROUND [OPTION ...]
    samvar train "$1" "train/paper/$1-$2.toml" -d "$out/data.npz" -o "$out/$1-$2" --resume "${@:3}"
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
average() {  # ROUND DENSITY RUN ...
    [ -e "$out/am-$1/model.json" ] || samvar train average "${@:3}" -d "$out/data.npz" --density "$2" -o "$out/am-$1"
}
average 5 0.0015 "$out/am-2" "$out/am-3" "$out/am-4"

# Fourth round: the mean goes on twice, with windows changed more, and the two are averaged
run am 6 --lssi "$out/lssi-2" --start-from "$out/am-5"
run am 7 --lssi "$out/lssi-2" --start-from "$out/am-5"
average 8 0.00157 "$out/am-6" "$out/am-7"

# Fifth round: that mean, as it stands in a bundle, goes on once more so, and twice with its core sites trained along
samvar train bundle --name fourth --am "$out/am-8" -d "$out/data.npz" -o "$out/fourth"
run am 10 --lssi "$out/lssi-2" --start-from "$out/fourth"
for round in 11 12; do run am $round --start-from "$out/fourth"; done
average 13 0.00157 "$out/am-11" "$out/am-12"

# Sixth round: the FM goes on with changed windows, once with its core sites trained along, which then do the motifs'
# work, and once with core sites as they were; the AM goes on twice, in vain
for round in 3 4; do run fm $round --start-from "$out/fm-2"; done
for round in 14 16; do
    run am $round --start-from "$out/am-13"
    average $round-settled 0.00157 "$out/am-$round"
done
average 15 0.00157 "$out/am-14" "$out/am-11" "$out/am-12"
average 17 0.00157 "$out/am-16" "$out/am-14" "$out/am-11" "$out/am-12"

# The bundle; what its temperature does; all that is said of its accuracy
bundle() {  # FOLDER [OPTION ...]
    samvar train bundle --name paper --am "$out/am-13" --fm "$out/fm-4" -d "$out/data.npz" -o "$@"
}
bundle weights/paper --temperature 2.5
python train/evaluate/temperature.py "$data" --model weights/paper --json "$out/temperature.json"
ANY_CORE=1 bash train/evaluate/suite.sh "$data" "$out/data.npz" weights/paper "$out/suite"
bundle weights/paper --temperature 2.5 --evaluation "$out/suite/suite.json"

# Three runs together
samvar train bundle --name large --am "$out"/am-10 --am "$out"/am-11 --am "$out"/am-12 -d "$out/data.npz" \
    --temperature 2.5 -o "$out/large"
python train/evaluate/topk.py "$data" --model "$out/large" --kinds am --single --json "$out/large.topk.json"
python train/evaluate/variants.py "$data" --model "$out/large" --json "$out/large.variants.json"

# The FM whose core sites were trained along, and what it is without motif sites
samvar train bundle --name fm-3 --fm "$out/fm-3" -d "$out/data.npz" --temperature 2.5 -o "$out/bundle-fm-3"
python train/evaluate/topk.py "$data" --model "$out/bundle-fm-3" --kinds fm --sets validation --json "$out/fm-3.json"

# SpliceAI on the same rows
python train/evaluate/peers.py "$data" "$out/suite/variants.tsv.gz" --scores "$out/spliceai" --peers "$out/peers" \
    --json "$out/spliceai.json"

# Third round: one run alone, and the mean probability of the three
samvar train bundle --name three --am "$out/am-2" --am "$out/am-3" --am "$out/am-4" -d "$out/data.npz" -o "$out/three"
python train/evaluate/topk.py "$data" --model "$out/three" --sets validation --single --json "$out/three.json"

# The candidates of the last rounds, their means, and their mean probability: what was chosen from
average 9 0.0015 "$out/am-6" "$out/am-7" "$out/am-5"
for round in 6 7; do average $round-settled 0.0015 "$out/am-$round"; done
average 8-sparser 0.0015 "$out/am-6" "$out/am-7"
python train/evaluate/compare_runs.py "$out/data.npz" "$out/am-5" "$out/am-6-settled" "$out/am-8-sparser" "$out/am-9" \
    "$out/am-6-settled+$out/am-7-settled+$out/am-5" "$out/am-11" "$out/am-13" "$out/am-14-settled" "$out/am-15" \
    "$out/am-16-settled" "$out/am-17" "$out/am-11+$out/am-12+$out/am-14-settled" "$out/fm-3" "$out/fm-4" \
    --json "$out/candidates.json"

# Train against validation genes
python train/evaluate/gap.py "$out/data.npz" "$out/am-13" --json "$out/gap.json"

# What each change of the training does alone, in 500 steps from am-2
for name in plain indels mutate moved decoy core dropout; do
    samvar train am "train/paper/ingredients/$name.toml" -d "$out/data.npz" -o "$out/$name" --resume \
        --lssi "$out/lssi-2" --start-from "$out/am-2"
    [ -e "$out/$name-settled/model.json" ] || samvar train average "$out/$name" -d "$out/data.npz" --density 0.0015 \
        -o "$out/$name-settled"
done
for name in pseudoexon soft reverse alternative; do
    python train/paper/experiments.py $name "$out/data.npz" "$out/$name" --lssi "$out/lssi-2" \
        --start-from "$out/am-2" --data "$data"
    [ -e "$out/$name-settled/model.json" ] || samvar train average "$out/$name" -d "$out/data.npz" --density 0.0015 \
        -o "$out/$name-settled"
done
python train/evaluate/compare_runs.py "$out/data.npz" --json "$out/ingredients.json" \
    "$out"/{plain,indels,mutate,decoy,core,dropout,pseudoexon,soft,reverse,moved,alternative}-settled

# Core sites that start from those of other species: introns of fly, worm and thale cress
[ -e "$out/species.npz" ] || {
    for species in at ce dm; do gzip -dc "$data/species/eie/eie.$species.txt.gz"; done |
        awk -v fasta="$out/species.fa" -f train/species/introns.awk > "$out/species.tsv"
    rm -f "$out/species.fa.fai"
    samvar train prepare -f "$out/species.fa" -a "$out/species.tsv" --validation "" --test "" -o "$out/species.npz"
}
lssi() {  # NAME DATASET [OPTION ...]
    samvar train lssi train/paper/lssi-2.toml -d "$out/$2.npz" -o "$out/$1" --resume "${@:3}"
}
lssi lssi-species species
lssi lssi-3 data --start-from "$out/lssi-species"

# Models of other shapes, each trained anew for a short time
python train/evaluate/shapes.py "$out/data.npz" --lssi "$out/lssi-2" --out "$out/shapes" --json "$out/shapes.json"

# How far the LSTM must see; what --transcript-extent changes
python train/evaluate/frames.py "$data" --model paper --json "$out/frames.json"
python train/evaluate/extent.py "$data" --model paper --json "$out/extent.json"

# The scale of `samvar explain`'s percentiles, and what the causes are worth
vcf=$data/vcf hg38="-f $data/genome/hg38.fa.gz -a $data/annotation/refseq.hg38.bed12+gene.gz"
samvar train background "$vcf/1kgp3_chr20_1-2Mb.hg19.vcf.gz" "$vcf/GM12878_ENCSR792OIJ_variants.vcf.gz" \
    "$vcf/happy_PG_NA12878_hg38_chr21.vcf.gz" $hg19 $hg38 $hg38 --model weights/paper
python train/evaluate/attribution.py "$data" --model paper --least 0.05 --json "$out/attribution.json"
python train/evaluate/in_vivo.py "$data" --model paper
samvar train card weights/paper
python train/evaluate/cases.py "$data" --model paper --json "$out/cases.json"
python train/evaluate/events.py "$data" --model paper --json "$out/events.json"
python train/evaluate/calibration.py "$data" --model paper
python train/evaluate/eclip.py "$data" --model paper --json "$out/eclip.json"

# The SAM paper's controls
seeds=$data/teachers/openspliceai-mane
python train/evaluate/exon_classes.py "$data" --model paper --json "$out/exon_classes.json"
python train/evaluate/rna_maps.py "$data" --model paper --json "$out/rna_maps.json" --figure "$out/rna_maps.png"
python train/evaluate/substitution.py "$out/data.npz" --model paper --json "$out/substitution.json"
python train/evaluate/encode_maps.py "$data" --model paper --json "$out/encode_maps.json" --figure "$out/encode_maps.png"
python train/evaluate/bound_alleles.py "$data" --model paper --json "$out/bound_alleles.json"
python train/evaluate/logistic.py "$out/data.npz" --model paper --json "$out/logistic.json"
python train/evaluate/maxent.py "$out/data.npz" --model paper --json "$out/maxent.json"
python train/evaluate/openspliceai.py "$data" "$seeds/2000nt" --model paper --json "$out/openspliceai.json"
python train/evaluate/openspliceai.py "$data" "$seeds/10000nt" --seeds 1 --model paper --json "$out/openspliceai-10000nt.json"
python train/evaluate/eclip_trained.py "$data" --model paper --json "$out/eclip_trained.json"
