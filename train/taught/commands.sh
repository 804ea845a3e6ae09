#!/usr/bin/env bash
# Rebuild the bundle `taught`: bash train/taught/commands.sh DATA FOLDER
# DATA holds genome/, annotation/, motifs/, teachers/, variants/, exons/, tables/ and vcf/; FOLDER receives the datasets,
# the labels, the runs and the evaluations. A stopped run goes on when the script is started again.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$1 out=$2
hg19="-f $data/genome/hg19.fa.gz -a $data/annotation/canonical.hg19.tsv.gz"
hg38="-f $data/genome/hg38.fa.gz -a $data/annotation/refseq.hg38.bed12+gene.gz"
seeds=$data/teachers/openspliceai-mane/2000nt
mkdir -p "$out"

# The genes of `default`, with its 79 RBPs and with the panel of 98
prepare() {  # DATASET OPTION ...
    [ -e "$out/$1.npz" ] || samvar train prepare $hg19 -f "$data/genome/extra.fa.gz" -a "$data/annotation/extra.tsv.gz" \
        --leave-out chr9 --held-out "$data/annotation/held_out_genes.txt" "${@:2}" -o "$out/$1.npz"
}
prepare data --motifs "$data/motifs/rbns"
prepare panel --motifs "$data/motifs" --panel train/panel/panel.tsv

# What the teacher says: of edited windows, of every substitution near sites, and the yardstick (five seeds)
teach() {  # FOLDER RECIPE SEEDS
    samvar train teach "train/teach/$2.toml" -d "$out/data.npz" -o "$out/$1" --resume \
        --teacher-name "OpenSpliceAI, 2,000 bases of context (GPL-3)" $(ls "$seeds"/*rs1[$3].p* | sed 's/^/--teacher /')
}
teach soft windows 0-2
teach effects effects 0-2
teach pairs yardstick 0-4

# Learnt motifs, then the runs, one after the other
run() {  # NAME DATASET START [OPTION ...]
    samvar train am "train/teach/$1.toml" -d "$out/$2.npz" -o "$out/$1" --resume --start-from "$3" \
        --soft-labels "$out/soft" "${@:4}"
}
samvar train motifs train/teach/motifs.toml -d "$out/data.npz" -o "$out/motifs-1" --resume --effects "$out/effects"
run am-3 data default:am
run am-4 data "$out/am-3" --learnt-motifs "$out/motifs-1"
run am-5 data "$out/am-4"
run am-6 panel "$out/am-5"
run am-7 panel "$out/am-6"

# The bundle; what its temperature does; all that is said of its accuracy
bundle() {  # FOLDER [OPTION ...]
    samvar train bundle --name taught --am "$out/am-7" -d "$out/panel.npz" --soft-labels "$out/soft" \
        --temperature 2.5 -o "$@"
}
bundle weights/taught
python train/evaluate/temperature.py "$data" --model weights/taught --json "$out/temperature.json"
bash train/evaluate/suite.sh "$data" "$out/panel.npz" weights/taught "$out/suite" "$out/pairs"
bundle weights/taught --evaluation "$out/suite/suite.json"

# The scale of `samvar explain`'s percentiles, how sure a score is, and what causes and events are worth
vcf=$data/vcf
samvar train background "$vcf/1kgp3_chr20_1-2Mb.hg19.vcf.gz" "$vcf/GM12878_ENCSR792OIJ_variants.vcf.gz" \
    "$vcf/happy_PG_NA12878_hg38_chr21.vcf.gz" $hg19 $hg38 $hg38 --model weights/taught
python train/evaluate/calibration.py "$data" --model taught
for script in attribution cases events eclip; do
    python "train/evaluate/$script.py" "$data" --model taught --json "$out/$script.json"
done
