"""How threads of llama.cpp and torch should wait for each other: tokens per second, alone and two at once.

    python benchmarks/speed/thread_waiting.py

Takes thirteen minutes on two cores: the bad settings are that bad. Each setting runs in processes of its own:
one alone on the machine, then two side by side. OpenMP's default spins for long, `passive` sleeps at once,
`GOMP_SPINCOUNT` lies between; the engines set 400. Trained is a small Llama of torch on texts of 400 tokens.
"""

import os
import subprocess
import sys

SETTINGS = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "GOMP_SPINCOUNT=400": {"GOMP_SPINCOUNT": "400"},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
}
TOKENS = 60
PROMPT = "\n".join(f"{n} apples at {n} dollars cost {n * n} dollars." for n in range(1, 25))


def main() -> None:
    if len(sys.argv) > 1:
        return {"llamacpp": draw, "torch": train}[sys.argv[1]]()
    print(f"{'tokens/s':<22}{'alone: prompt':>14}{'decode':>8}{'5 at once':>10}{'trained':>8}", end="")
    print(f"{'beside: prompt':>16}{'decode':>8}{'5 at once':>10}{'trained':>8}")
    for name, setting in SETTINGS.items():
        figures = [
            run(setting, engine, processes) for processes in (1, 2) for engine in ("llamacpp", "torch")
        ]
        print(f"{name:<22}{figures[0]}{figures[1]}  {figures[2]}{figures[3]}", flush=True)


def run(setting: dict[str, str], engine: str, processes: int) -> str:
    """The figures of the last of so many processes at once."""
    kept = {
        key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    command = [sys.executable, __file__, engine]
    started = [
        subprocess.Popen(command, env=kept | setting, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    return [process.communicate()[0].rstrip("\n") for process in started][-1]


def draw() -> None:
    import time

    import xllamacpp

    from sampleset.engines.gguf import resolve_embedded_model

    params = xllamacpp.CommonParams()
    params.model.path = str(resolve_embedded_model())
    params.n_parallel, params.n_ctx, params.kv_unified, params.verbosity = 5, 8192, True, -1
    threads = len(os.sched_getaffinity(0))
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)
    body = {"max_tokens": TOKENS, "ignore_eos": True}
    timings = [server.handle_completions({**body, "prompt": f"{n}{PROMPT}"})["timings"] for n in range(3)]
    started = time.perf_counter()
    server.handle_completions({**body, "prompt": f"five{PROMPT}", "n": 5})
    together = 5 * TOKENS / (time.perf_counter() - started)
    prompt = max(one["prompt_per_second"] for one in timings)
    decode = max(one["predicted_per_second"] for one in timings)
    print(f"{prompt:14.0f}{decode:8.0f}{together:10.0f}")


def train() -> None:
    import time

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    sizes = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 6}
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=4096, num_attention_heads=9, num_key_value_heads=3, **sizes)
    )
    text = torch.randint(0, 4096, (1, 400))
    seconds: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        model(input_ids=text, labels=text).loss.backward()
        seconds.append(time.perf_counter() - started)
    print(f"{4 * 400 / sum(seconds[1:]):8.0f}")


if __name__ == "__main__":
    main()
