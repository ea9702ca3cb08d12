#!/bin/sh
# GRPO of an aggregator with verl, on our rows and our reward: sh recipes/verl_grpo.sh MODEL GPUS [NODES]
#
# Not run by us: we had no machine with several GPUs. The keys are those of verl's own example
# examples/grpo_trainer/run_qwen2_5-3b_gsm8k_grpo_lora.sh and of its later releases; before verl 0.7 the reward's
# two keys have no `reward.` in front. Rows first, in mode think, held-back ones apart:
#
#   sampleset train-data SETS --mode think -k 8 --held-back 0.1 --aggregator-model MODEL \
#       --output runs/rows.jsonl --export-verl runs/rows.parquet
#   sampleset train-data HELD_BACK_SETS --mode think -k 8 --aggregator-model MODEL \
#       --output runs/held_back.jsonl --export-verl runs/held_back.parquet
#
# verl shards the model over the GPUs (FSDP), draws with vLLM, and reads the prompt of a group once per rollout.
# An instruction-tuned MODEL, or one after `sampleset train sft`, that knows to open with <think>.
set -eu
MODEL=$1 GPUS=$2 NODES=${3:-1}
REWARD=$(python3 -c 'import sampleset.training.data.verl_reward as one; print(one.__file__)')

exec python3 -m verl.trainer.main_ppo \
    algorithm.adv_estimator=grpo \
    algorithm.use_kl_in_reward=False \
    data.train_files=runs/rows.parquet \
    data.val_files=runs/held_back.parquet \
    data.train_batch_size=64 \
    data.max_prompt_length=4096 \
    data.max_response_length=512 \
    data.filter_overlong_prompts=True \
    data.truncation=error \
    actor_rollout_ref.model.path="$MODEL" \
    actor_rollout_ref.model.use_remove_padding=True \
    actor_rollout_ref.model.enable_gradient_checkpointing=True \
    actor_rollout_ref.actor.optim.lr=1e-6 \
    actor_rollout_ref.actor.ppo_mini_batch_size=32 \
    actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=2 \
    actor_rollout_ref.actor.use_kl_loss=True \
    actor_rollout_ref.actor.kl_loss_coef=0.01 \
    actor_rollout_ref.actor.kl_loss_type=low_var_kl \
    actor_rollout_ref.rollout.name=vllm \
    actor_rollout_ref.rollout.n=8 \
    actor_rollout_ref.rollout.gpu_memory_utilization=0.6 \
    actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4 \
    actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=4 \
    actor_rollout_ref.ref.fsdp_config.param_offload=True \
    reward.custom_reward_function.path="$REWARD" \
    reward.custom_reward_function.name=compute_score \
    trainer.n_gpus_per_node="$GPUS" \
    trainer.nnodes="$NODES" \
    trainer.logger='["console"]' \
    trainer.project_name=sampleset \
    trainer.experiment_name=grpo \
    trainer.save_freq=20 \
    trainer.test_freq=20 \
    trainer.total_epochs=1
