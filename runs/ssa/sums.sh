#!/usr/bin/env bash
# SSA-135M-calculator trained further on chain sums that a calculator has mended, in two rounds of other subsets, about
# two hours of one core. It learns from half of the questions of one recorded file and, not to forget them, from rows of GSM8K; the
# other half measures it. Goes on where it stopped. Results: docs/results/ablations.md
#   SETS   folder with rg_chainsum_olmo16 (docs/results/recorded-sets.md)
#   START  folder of the export of SSA-135M-calculator, its base beside it
#   MENDED the rows that it has learned from, WORK/rows/mended.jsonl of mended.sh
DEVICE=cpu
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
SETS=${SETS:?folder with the recorded sets} START=${START:?folder of an aggregator} MENDED=${MENDED:?its rows}
sums=$SETS/rg_chainsum_olmo16.jsonl.gz rows=$WORK/rows
mkdir -p "$rows" "$WORK/train"
$PYTHON "$HERE/held_back.py" "$sums" 0.5 "$WORK/held.jsonl.gz"
$PYTHON "$HERE/unseen.py" "$sums" "$WORK/learned.jsonl.gz" "$WORK/held.jsonl.gz"

some() { # NUMBER SEED FILE: so many of its lines, in an order drawn by the seed
  shuf -n "$1" --random-source=<(yes "$2") "$3"
}

further() { # ROUND START SUBSETS ROWS OF_GSM8K STEPS RATE
  [ -s "$rows/sums$1.jsonl" ] || $SAMPLESET train-data "$WORK/learned.jsonl.gz" --mode select -k 5 --subsets "$3" --seed "$1" --easy 1 \
    --unanimous 0 --all-wrong 0 --calculator --keep-end-tokens 90 --aggregator-model "openvino:$2" --output "$rows/sums$1.jsonl"
  cat <(some "$4" 2 "$rows/sums$1.jsonl") <(some "$5" "$1" "$MENDED") > "$rows/mix$1.jsonl"
  [ -d "$WORK/start$1" ] || $SAMPLESET export "$2" --format peft --output "$WORK/start$1"
  $SAMPLESET train select "$HERE/recipe.yaml" --set model="$WORK/start$1" --set rows="$rows/mix$1.jsonl" \
    --set output_dir="$WORK/train/sums$1" --set steps="$6" --set rows_per_step=4 --set rows_per_pass=1 --set learning_rate="$7" \
    --set vote_prior=1.0 --set confidence_prior=4.0 --set save_every=10 --set dtype="$DTYPE" --set threads=1 --set device=cpu
  [ -d "$WORK/export/sums$1" ] || $SAMPLESET export "$WORK/train/sums$1/checkpoint" --output "$WORK/export/sums$1"
}

further 0 "$START" 2 1000 120 120 4.0e-4
further 1 "$WORK/export/sums0" 4 350 50 100 3.0e-4
