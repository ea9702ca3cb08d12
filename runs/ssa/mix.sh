#!/usr/bin/env bash
# An aggregator trained further on several kinds of questions, about two hours of one core: rows, training, calibration on
# questions that neither training has seen, export. Goes on where it stopped. Results: docs/results/ablations.md
#   SETS  folder with rg_chainsum_olmo16, kor_open12 and crux_open8 (docs/results/recorded-sets.md)
#   START the aggregator that is trained further, by default embedded-ssa; as folder of an export, its base beside it
DEVICE=cpu
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
SETS=${SETS:?folder with the recorded sets}
START=${START:-embedded-ssa} base=openvino:embedded
[ "$START" = embedded-ssa ] || base=openvino:$START
draws=$ROOT/data/draws rows=$WORK/rows mix=$WORK/rows/mix
mkdir -p "$rows"

make_rows() { # NAME FILE [options of train-data]
  [ -s "$rows/$1.jsonl" ] || $SAMPLESET train-data "$2" --mode select --unanimous 0 --all-wrong 0 --keep-end-tokens 90 \
    --exclude gsm8k:test ${DATA:+--data-dir "$DATA"} --aggregator-model "$base" --output "$rows/$1.jsonl" "${@:3}"
}

balance=(-k 4-8 --easy 0.7 --max-prompt-tokens 1500 --held-back 0.2)
make_rows gsm "$draws/gsm8k_train_qwen05b_reseeded.jsonl.gz" "${balance[@]}" --subsets 2
make_rows math "$draws/math_train_qwen05b.jsonl.gz" "${balance[@]}" --subsets 2
for file in kor_open12 crux_open8 rg_chainsum_olmo16; do
  make_rows "${file%%_*}" "$SETS/$file.jsonl.gz" "${balance[@]}" --subsets 1
done
cat "$rows"/{gsm,kor,crux,rg,math}.jsonl > "$mix.jsonl"

# To calibrate on: of GSM8K the questions that START had not learned from before, either.
make_rows fresh "$draws/gsm8k_train_qwen05b_reseeded.jsonl.gz" -k 5 --easy 1 --subsets 2 \
  $(printf -- '--exclude %s ' "$draws"/gsm8k_train_qwen{05b_12,15b_12,15b}.jsonl.gz)
$PYTHON - "$rows" <<'P'
import json, sys
from pathlib import Path

rows = Path(sys.argv[1])
digest = lambda line: json.loads(line)["question_digest"]
read = lambda name: (rows / name).read_text(encoding="utf-8").splitlines(keepends=True)
learned = set(map(digest, read("gsm.jsonl")))
lines = [line for line in read("fresh.jsonl") if digest(line) not in learned]
lines += [line for name in ("kor", "crux", "rg", "math") for line in read(f"{name}.held_back.jsonl")]
(rows / "mix.held_back.jsonl").write_text("".join(lines), encoding="utf-8")
P

[ -d "$WORK/start" ] || $SAMPLESET export "$START" --format peft --output "$WORK/start"
$SAMPLESET train select "$HERE/recipe.yaml" --set model="$WORK/start" --set rows="$mix.jsonl" --set output_dir="$WORK/train/mix" \
  --set steps=120 --set rows_per_pass=1 --set learning_rate=2.0e-4 --set vote_prior=1.5 --set confidence_prior=4.0 \
  --set save_every=10 --set matmul_dtype=bfloat16 --set threads=1 --set device=cpu
[ -d "$WORK/export/mix" ] || $SAMPLESET export "$WORK/train/mix/checkpoint" --output "$WORK/export/mix"
$SAMPLESET calibrate "$WORK/export/mix" "$mix.held_back.jsonl"
