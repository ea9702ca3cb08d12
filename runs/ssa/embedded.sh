#!/usr/bin/env bash
# The packaged aggregator without a GPU, from the draws of this repository: rows, training, calibration on held-back
# questions, export, and the table on test questions. One core of a CPU, about four hours; goes on where it stopped.
# `gpu.sh train` made the packaged one, in some minutes; rows and settings are the same, the arithmetic differs.
DEVICE=cpu source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export MODELS DATA WORK DEVICE PYTHON SHARDS=3 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive SAMPLESET_DTYPE=bfloat16
draws=$ROOT/data/draws
[ -s "$WORK/rows/ends.jsonl" ] || "$HERE/rows.sh" ends smol "$draws/gsm8k_train_qwen15b_12.jsonl.gz \
  $draws/gsm8k_train_qwen05b_12.jsonl.gz $draws/gsm8k_train_qwen15b.jsonl.gz" \
  -k 4-12 --subsets 4 --easy 1.0 --held-back 0.1 --keep-end-tokens 90
"$HERE/train.sh" smol select embedded ends --set dtype=bfloat16 --set threads=1 --set steps=278 --set rows_per_pass=1 \
  --set learning_rate=5.0e-4 --set save_every=10
$SAMPLESET calibrate "$WORK/train/smol/checkpoint" "$WORK/rows/ends.held_back.jsonl"
$SAMPLESET export "$WORK/train/smol/checkpoint" --output "$WORK/export/smol"
CONCURRENCY=8 WORKERS=1 "$HERE/evaluate.sh" smol_openvino "$draws/gsm8k_test_qwen15b.jsonl.gz" 5 smol \
  "$($PYTHON "$HERE/prior.py" "$WORK"/rows/ends.jsonl "$WORK"/rows/ends.held_back.jsonl)"
