#!/usr/bin/env bash
# An aggregator on the embedded model from the draws of this repository, on one core of a CPU: about an hour.
# Rows, training, calibration on held-back questions, export, and the table on test questions.
DEVICE=cpu source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export DEVICE WORK SHARDS=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive SAMPLESET_DTYPE=bfloat16
draws=$ROOT/data/draws
"$HERE/rows.sh" smol smol "$draws/gsm8k_train_qwen15b.jsonl.gz $draws/gsm8k_train_qwen15b_12.jsonl.gz \
  $draws/gsm8k_train_qwen05b_12.jsonl.gz" --easy 1.0 --keep-end-tokens 90 -k 4-12 --subsets 4 --held-back 0.15
# Held-back rows are kept for the calibration: measuring on them while training takes longer than training.
$SAMPLESET train select "$HERE/recipe.yaml" --set model=embedded --set rows="$WORK/rows/smol.jsonl" \
  --set output_dir="$WORK/train/smol" --set device=cpu --set dtype=bfloat16 --set steps=520 --set rows_per_step=1 \
  --set rows_per_pass=1 --set learning_rate=6.0e-4 --set lora.last_layers=15 --set save_every=50 --set threads=1
$SAMPLESET calibrate "$WORK/train/smol/checkpoint" "$WORK/rows/smol.held_back.jsonl"
$SAMPLESET export "$WORK/train/smol/checkpoint" --output "$WORK/export/smol"
PERMUTATIONS=0 "$HERE/evaluate.sh" smol_660 "$draws/gsm8k_test_qwen15b.jsonl.gz" 5 smol \
  "$($PYTHON "$HERE/prior.py" "$WORK"/rows/smol.jsonl "$WORK"/rows/smol.held_back.jsonl)"
