#!/usr/bin/env bash
# What matters in training, on the embedded model and one core of a CPU, about 20 minutes each: ablations.sh VARIANT...
# Each is trained on the same questions for as many steps, calibrated on the same held-back train questions, and read
# on the first LIMIT test questions. Goes on where it stopped. Report in WORK/reports/ablation_VARIANT.
#   base       select; K = 5; the last 90 tokens of each sample; rows as they come, hard and easy
#   varied_k   K from 4 to 12
#   hard_only  only rows whose vote is wrong
#   full       whole samples
#   fixed_order  base, the samples of a row in the order in which they were drawn
#   order      how many answers of base and fixed_order another order of the samples changes
#   answers    the last 16 tokens of each sample
#   fold       base, samples of equal answers shown once with their number
#   weighed    base, only three in ten of the rows whose vote is right
#   told       base, each sample's confidence told in words behind it (told.py)
#   calculated base, on samples that end with what they calculate, in training, calibration and test
#   direct     SFT on the right answer, written at once
#   direct_select  the model of `direct`, asked in mode select and calibrated
#   think      SFT on a right sample, written out, then its answer
#   grpo       GRPO from `direct`, 60 steps of 8 rollouts
#   grpo_alone  the same from the untrained model
#   teacher    SFT on the reasoning of the 1.5B, which knew the gold answer and is kept where it ends right
#   verifier   SFT on verdicts of single samples of the same sets, as often as `base` sees a set; weight of a vote, and best of n
#   grpo_kl    `grpo` with beta = 0.01 and dynamic sampling
#   grpo_next  `grpo_kl` on the 200 questions behind those of `direct` (with OWN)
#   grpo_teacher  the same from `teacher`, with its reasoning (with OWN)
# OWN=400 trains on the first 400 questions of the draws of the 0.5B under seeds of each question's own, one row each, and
# tests on 400 such questions, or on those of the file TEST. The 200 train questions behind them calibrate. SEED=1 is another seed of rows, order and adapter.
# BASE=qwen05b trains Qwen2.5-Coder-0.5B in the place of the embedded model, three times as long.
DEVICE=cpu
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
SEED=${SEED:-0}
[ "$SEED" = 0 ] || WORK=$WORK/seed$SEED
BASE=${BASE:-embedded} size=(--set learning_rate=6.0e-4 --set lora.last_layers=15)
[ "$BASE" = embedded ] || WORK=$WORK/$BASE size=(--set lora.last_layers=12)
mkdir -p "$WORK"
export MODELS DATA WORK DEVICE PYTHON SAMPLESET_DTYPE="$DTYPE" OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1
export LIMIT=${LIMIT:-$([ -n "${OWN:-}" ] && echo 400 || echo 200)} PERMUTATIONS=0 CONCURRENCY=8 WORKERS=1
STEPS=${STEPS:-240}
beside=() # further methods of the reports
draws=$ROOT/data/draws
if [ -n "${OWN:-}" ]; then
  test=${TEST:-$draws/gsm8k_test_qwen05b_reseeded.jsonl.gz}
  train=("$draws/gsm8k_train_qwen05b_reseeded.jsonl.gz" --limit "$OWN" --unanimous 0 --all-wrong 0)
  next=$WORK/next200.jsonl.gz # to calibrate on
  gzip -dc "${train[0]}" | sed -n "$((OWN + 1)),$((OWN + 200))p" | gzip > "$next"
else
  test=$draws/gsm8k_test_qwen15b.jsonl.gz
  train=("$draws/gsm8k_train_qwen15b.jsonl.gz" "$draws/gsm8k_train_qwen15b_12.jsonl.gz" "$draws/gsm8k_train_qwen05b_12.jsonl.gz"
    --subsets 4)
fi

rows() { # NAME [options of train-data]
  local name=$1
  shift
  [ -s "$WORK/rows/$name.jsonl" ] || $SAMPLESET train-data "${train[@]}" --held-back 0.15 --exclude gsm8k:test --seed "$SEED" \
    ${DATA:+--data-dir "$DATA"} --aggregator-model "transformers:${!BASE:-$BASE}" --output "$WORK/rows/$name.jsonl" "$@"
}

train() { # METHOD NAME ROWS [--set KEY=VALUE ...]
  "$HERE/train.sh" "$2" "$1" "$BASE" "$3" "${size[@]}" --set dtype="$DTYPE" --set threads=1 --set steps="$STEPS" --set seed="$SEED" \
    --set rows_per_step=1 --set rows_per_pass=1 --set save_every=60 "${@:4}"
}

evaluate() { # NAME CHECKPOINT
  [ -s "$WORK/reports/$1/report.json" ] && return
  if [ -n "${OWN:-}" ]; then ( # 400 questions: by the engine that reads fastest
    unset SAMPLESET_DTYPE
    [ -d "$WORK/export/$1" ] || $SAMPLESET export "$2" --output "$WORK/export/$1"
    "$HERE/evaluate.sh" "$1" "$test" 5 "${beside[@]}" "ssa:model=openvino:$WORK/export/$1"
  ); else
    "$HERE/evaluate.sh" "$1" "$test" 5 "ssa:model=$2"
  fi
}

calibrated() { # CHECKPOINT HELD_BACK
  if [ -n "${OWN:-}" ]; then
    $SAMPLESET calibrate "$1" "$next" -k 5
  else
    $SAMPLESET calibrate "$1" "$WORK/rows/$2.held_back.jsonl"
  fi
}

select_variant() { # NAME ROWS HELD_BACK [--set ...]
  local name=$1 rows=$2 held_back=$3
  shift 3
  train select "ablation_$name" "$rows" "$@"
  calibrated "$WORK/train/ablation_$name/checkpoint" "$held_back"
  evaluate "ablation_$name" "$WORK/train/ablation_$name/checkpoint"
}

told() ( # `base` on what told.py makes of the sample sets
  copy() { # FILE NAME
    [ -s "$WORK/told/$2.jsonl.gz" ] || $PYTHON "$HERE/told.py" "$draws/gsm8k_train_qwen05b_reseeded.jsonl.gz" "$1" "$WORK/told/$2.jsonl.gz"
  }
  mkdir -p "$WORK/told"
  copy "${train[0]}" train
  copy "$next" next
  copy "$test" "$(basename "$test" .jsonl.gz)" # reports are compared by the files' names
  train[0]=$WORK/told/train.jsonl.gz next=$WORK/told/next.jsonl.gz test=$WORK/told/${test##*/}
  rows told -k 5 "${ends[@]}"
  select_variant told told told
)

calculated() ( # `base` with a calculator
  mkdir -p "$WORK/calculated"
  cp "${train[0]}" "$WORK/calculated/train.jsonl.gz" # rows are drawn by the files' names, and have those of `told`
  cp "$next" "$WORK/calculated/next.jsonl.gz"
  train[0]=$WORK/calculated/train.jsonl.gz next=$WORK/calculated/next.jsonl.gz
  rows calculated -k 5 "${ends[@]}" --calculator
  beside=(calculator:inner=majority_vote calculator:inner=weighted_vote)
  select_variant calculated calculated calculated
)

direct_rows() {
  rows direct -k 5 --mode direct --easy 1.0 --keep-end-tokens 90 --target answer
}

teacher_rows() {
  rows teacher -k 5 --mode think --easy 1.0 --keep-end-tokens 90 --target teacher --tries 1 \
    --teacher-model "openvino:$qwen15b" --max-concurrency 48 --timeout 7200
}

written() { # NAME: reads the test questions by what the model writes
  evaluate "ablation_$1" "$WORK/train/ablation_$1/checkpoint"
}

grpo_variant() { # NAME ROWS [--set ...]
  STEPS=${GRPO_STEPS:-60} train grpo "ablation_$1" "$2" --set learning_rate=1.0e-4 --set grpo.num_generations=8 \
    --set grpo.max_completion_tokens=16 "${@:3}"
  written "$1"
}
next_rows() { # NAME MODE: rows of questions that SFT has not learned from
  local train=("$next" --unanimous 0 --all-wrong 0)
  rows "$1" -k 5 --mode "$2" --easy 1.0 --keep-end-tokens 90
}
held_near=(--set grpo.beta=0.01 --set grpo.dynamic_sampling=2)

for variant in "$@"; do
  ends=(--mode select --easy 1.0 --keep-end-tokens 90)
  rows ends90 -k 5 "${ends[@]}"
  case $variant in
    base) select_variant base ends90 ends90 ;;
    fold)
      rows fold -k 5 "${ends[@]}" --fold
      select_variant fold fold fold
      ;;
    weighed)
      rows weighed -k 5 "${ends[@]}" --easy 0.3
      select_variant weighed weighed ends90
      ;;
    told | calculated) "$variant" ;;
    varied_k)
      rows varied_k -k 4-12 "${ends[@]}"
      select_variant varied_k varied_k ends90
      ;;
    hard_only)
      rows hard_only -k 5 "${ends[@]}" --easy 0
      select_variant hard_only hard_only ends90
      ;;
    full)
      rows full -k 5 --mode select --easy 1.0
      select_variant full full full
      ;;
    fixed_order)
      rows fixed_order -k 5 "${ends[@]}" --drawn-order
      select_variant fixed_order fixed_order ends90
      ;;
    order)
      for name in base fixed_order; do
        PERMUTATIONS=1 evaluate "order_$name" "$WORK/train/ablation_$name/checkpoint"
      done
      ;;
    answers)
      rows answers -k 5 --mode select --easy 1.0 --keep-end-tokens 16
      select_variant answers answers answers
      ;;
    direct)
      direct_rows
      train sft ablation_direct direct
      written direct
      ;;
    direct_select)
      copy=$WORK/train/ablation_direct_select/checkpoint
      if [ ! -d "$copy" ]; then
        mkdir -p "${copy%/*}"
        cp -r "$WORK/train/ablation_direct/checkpoint" "$copy"
        # The prompt of both modes is the same; before calibration nothing but the model's score counts.
        sed -i -e 's/"mode": "direct"/"mode": "select"/' -e 's/"\(vote\|confidence\)_weight": [0-9.]*/"\1_weight": 0.0/' \
          "$copy/sampleset.json"
      fi
      calibrated "$copy" ends90
      evaluate ablation_direct_select "$copy"
      ;;
    think)
      rows think -k 5 --mode think --easy 1.0 --keep-end-tokens 90 --target sample
      train sft ablation_think think
      written think
      ;;
    teacher)
      teacher_rows
      train sft ablation_teacher teacher
      written teacher
      ;;
    grpo | grpo_kl)
      direct_rows
      near=()
      [ "$variant" = grpo ] || near=("${held_near[@]}")
      grpo_variant "$variant" direct --set model="$WORK/train/ablation_direct/checkpoint" "${near[@]}"
      ;;
    grpo_next)
      next_rows next_direct direct
      grpo_variant grpo_next next_direct --set model="$WORK/train/ablation_direct/checkpoint" "${held_near[@]}"
      ;;
    grpo_teacher)
      next_rows next_think think
      grpo_variant grpo_teacher next_think --set model="$WORK/train/ablation_teacher/checkpoint" "${held_near[@]}" \
        --set grpo.max_completion_tokens=256
      ;;
    grpo_alone)
      direct_rows
      grpo_variant grpo_alone direct
      ;;
    verifier) (
      rows verify -k 5 --mode verify --easy 1.0
      STEPS=$((STEPS * $(wc -l < "$WORK/rows/verify.jsonl") / $(wc -l < "$WORK/rows/ends90.jsonl") / 4)) \
        train sft ablation_verifier verify --set rows_per_step=4 --set learning_rate=5.0e-4 --set max_tokens=430 \
        --set matmul_dtype=bfloat16
      scored=$WORK/scored/${test##*/}
      mkdir -p "$WORK/scored"
      unset SAMPLESET_DTYPE
      [ -d "$WORK/export/verifier" ] || $SAMPLESET export "$WORK/train/ablation_verifier/checkpoint" --output "$WORK/export/verifier"
      [ -s "$scored" ] || $SAMPLESET score "$test" --reward-model generative_verifier \
        --model "openvino:$WORK/export/verifier" --column verifier_scores --output "$scored"
      "$HERE/evaluate.sh" ablation_verifier "$scored" 5 weighted_vote:by=verifier_scores best_of_n:by=verifier_scores
      ) ;;
    *)
      echo "No variant '$variant'; the head of this file lists them." >&2
      exit 2
      ;;
  esac
done
