#!/usr/bin/env bash
# The study's sets and models on one GPU of 80 GB, in some twenty minutes: gpu.sh draw, then gpu.sh train.
#   draw   sets of both answer models, test questions 20 samples each, train questions 12, all four at once.
#          DRAW_SECONDS, if set, ends it; whole sets are kept.
#   train  rows, an aggregator on each of the three models, its calibration and its reports. TRAIN_SECONDS: how long
#          each trains, by the pace of its first steps beside the others; at least 60 steps and at most an epoch or so.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export MODELS DATA WORK DEVICE PYTHON OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} OMP_WAIT_POLICY=passive
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
TEST=${TEST:-660} TRAIN=${TRAIN:-1500}
draws=$WORK/draws logs=$WORK/logs
mkdir -p "$logs" "$WORK/rows"

draw() {
  for model in qwen15b qwen05b; do
    CONCURRENCY=90 "$HERE/draw.sh" $model gsm8k:test "$TEST" 20 > "$logs/draw_test_$model" 2>&1 &
    CONCURRENCY=130 "$HERE/draw.sh" $model gsm8k:train "$TRAIN" 12 > "$logs/draw_train_$model" 2>&1 &
  done
  wait
  tail -n 3 "$logs"/draw_*
}

# Name, model, rows, highest number of steps, further settings of its training.
aggregators=(
  "smol smol ends 1000 --set learning_rate=5.0e-4"
  "q05 qwen05b full 700 --set lora.r=8 --set lora.alpha=16"
  "q15 qwen15b full 500 --set lora.r=8 --set lora.alpha=16 --set lora.last_layers=14 --set rows_per_pass=2 --set learning_rate=2.0e-4"
)

pace() { # Milliseconds of a step beside the others, by ten steps of a short run: pace NAME MODEL ROWS MOST [--set ...]
  local name=$1 log=$WORK/train/pace_$1/log.jsonl began
  "$HERE/train.sh" "pace_$name" select "$2" "$3" --set steps=14 "${@:5}" > "$logs/pace_$name" 2>&1 &
  reach() { while [ "$(cat "$log" 2> /dev/null | wc -l)" -lt "$1" ]; do kill -0 $! && sleep 0.1 || return 1; done; }
  reach 3
  began=$(date +%s%N)
  reach 13
  echo "$((($(date +%s%N) - began) / 10000000))" > "$logs/pace_ms_$name"
  wait $!
}

aggregator() { # NAME MODEL ROWS MOST [--set ...]
  local name=$1 model=$2 rows=$3 steps=$4
  shift 4
  local fits=$((${TRAIN_SECONDS:-200} * 1000 / ($(cat "$logs/pace_ms_$name") + 1)))
  [ "$fits" -ge "${LEAST:-60}" ] || fits=${LEAST:-60}
  [ "$fits" -ge "$steps" ] || steps=$fits
  "$HERE/train.sh" "$name" select "$model" "$rows" --set steps="$steps" --set save_every=50 "$@"
  $SAMPLESET calibrate "$WORK/train/$name/checkpoint" "$WORK/rows/$rows.held_back.jsonl"
  echo "$name: $steps steps"
  SUBSETS=2 PERMUTATIONS=0 "$HERE/evaluate.sh" "${name}_qwen15b" "$draws/gsm8k_test_qwen15b_20.jsonl.gz" 5,20 "$name" &
  SUBSETS=2 PERMUTATIONS=0 "$HERE/evaluate.sh" "${name}_qwen05b" "$draws/gsm8k_test_qwen05b_20.jsonl.gz" 5,20 "$name" &
  "$HERE/evaluate.sh" "${name}_openvino" "$ROOT/data/draws/gsm8k_test_qwen15b.jsonl.gz" 5 "$name" &
  wait
}

train() {
  local files options=(-k 4-12 --subsets 4 "${BALANCE[@]}")
  files=$(train_sets "$draws")
  export SHARDS=${SHARDS:-3}
  CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 "$HERE/rows.sh" ends smol "$files" "${options[@]}" --keep-end-tokens 90 > "$logs/rows_ends" 2>&1 &
  local ends=$!
  CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 "$HERE/rows.sh" full smol "$files" "${options[@]}" > "$logs/rows_full" 2>&1 &
  local full=$!
  export WORKERS=${WORKERS:-2}
  if [ -n "${PACE_ROWS:-}" ]; then # rows at hand, so that the pace is known when the others are made
    cp "$PACE_ROWS" "$WORK/rows/pace.jsonl"
  else
    wait $ends $full
    cp "$WORK/rows/full.jsonl" "$WORK/rows/pace.jsonl"
  fi
  local paces=()
  for one in "${aggregators[@]}"; do
    set -- $one
    pace "$1" "$2" pace "${@:4}" &
    paces+=($!)
  done
  wait $ends $full "${paces[@]}"
  tail -n 2 "$logs"/rows_* "$logs"/pace_ms_*
  for one in "${aggregators[@]}"; do
    set -- $one
    aggregator "$@" > "$logs/train_$1" 2>&1 &
  done
  wait
  tail -n 30 "$logs"/train_*
}

"$1"
