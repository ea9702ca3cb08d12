#!/usr/bin/env bash
# Aggregators of the study without a GPU, from the draws of this repository: rows, training, calibration on held-back
# questions, export, and the table on test questions. One core of a CPU; goes on where it stopped. cpu.sh NAME
#   smol     the packaged one, about four hours. `gpu.sh train` made it, in some minutes; rows and settings are the
#            same, the arithmetic differs
#   qwen05b  SSA-0.5B, about two and a half hours: sets of 4 to 6 samples, the upper half of the layers
#   qwen15b  a model larger than the one whose samples it reads, as far as a core gets with it in two hours: 240 of the
#            rows of qwen05b, the upper quarter of the layers, 150 test questions of the 0.5B; not calibrated, which
#            takes half an hour more
DEVICE=cpu
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export MODELS DATA WORK DEVICE PYTHON OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive SAMPLESET_DTYPE="$DTYPE"
name=$1
draws=$ROOT/data/draws
test=("${name}_openvino" "$draws/gsm8k_test_qwen15b.jsonl.gz") calibrated=true
case $name in
  smol)
    model=embedded rows=ends row_options=(-k 4-12 --subsets 4)
    settings=(--set steps=278 --set learning_rate=5.0e-4)
    export SHARDS=3
    ;;
  qwen05b)
    model=qwen05b rows=near row_options=(-k 4-6 --subsets 2)
    settings=(--set steps=92 --set lora.last_layers=12)
    export SHARDS=1
    ;;
  qwen15b)
    model=qwen15b rows=near row_options=(-k 4-6 --subsets 2)
    settings=(--set steps=30 --set lora.last_layers=7)
    test=("${name}_qwen05b" "$draws/gsm8k_test_qwen05b_reseeded.jsonl.gz") calibrated=false
    export SHARDS=1 LIMIT=150 PERMUTATIONS=0
    ;;
  *) echo "cpu.sh smol, qwen05b or qwen15b, not '$name'" >&2 && exit 1 ;;
esac
[ -s "$WORK/rows/$rows.jsonl" ] || "$HERE/rows.sh" $rows "$name" "$(train_sets "$draws")" \
  "${row_options[@]}" "${BALANCE[@]}" --keep-end-tokens 90
"$HERE/train.sh" "$name" select $model $rows --set dtype="$DTYPE" --set threads=1 --set rows_per_pass=1 \
  --set save_every=5 "${settings[@]}"
if "$calibrated"; then
  $SAMPLESET calibrate "$WORK/train/$name/checkpoint" "$WORK/rows/$rows.held_back.jsonl"
fi
[ -d "$WORK/export/$name" ] || $SAMPLESET export "$WORK/train/$name/checkpoint" --output "$WORK/export/$name"
CONCURRENCY=8 WORKERS=1 "$HERE/evaluate.sh" "${test[@]}" 5 "$name" \
  "$($PYTHON "$HERE/prior.py" "$WORK/rows/$rows.jsonl" "$WORK/rows/$rows.held_back.jsonl")"
