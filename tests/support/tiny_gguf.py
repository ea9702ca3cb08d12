"""A model of a few thousand weights as a GGUF file, and what it computes, written again with numpy."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYERS, WIDTH, HEADS, KEY_HEADS, SIZE, INNER = 2, 64, 4, 2, 16, 128
EPSILON, BASE = 1e-5, 10_000.0
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_symbols() -> list[str]:
    """GPT-2's visible character for each byte."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(byte) if byte in visible else chr(next(spare)) for byte in range(256)]


TOKENS = [*byte_symbols(), "~~", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TOKENS += [f"<|unused{number}|>" for number in range(320 - len(TOKENS))]
END = TOKENS.index("<|im_end|>")


class TinyModel:
    """Weights that 8 bits hold exactly, and the logits that follow from them."""

    def __init__(self, architecture: str = "llama", seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.architecture = architecture

        def matrix(rows: int, columns: int, size: float) -> NDArray[np.float32]:
            numbers = random.integers(-127, 128, (rows, columns))
            # The largest number of each group of 32 sets its scale.
            numbers[:, ::32] = 127
            return (numbers * np.float32(2.0**-7 * size)).astype(np.float32)

        self.tensors: dict[str, NDArray[np.float32]] = {
            "token_embd.weight": matrix(len(TOKENS), WIDTH, 1.0),
            "output.weight": matrix(len(TOKENS), WIDTH, 0.25),
            "output_norm.weight": np.ones(WIDTH, np.float32),
        }
        for layer in range(LAYERS):
            for name, rows, columns in (
                ("attn_q", HEADS * SIZE, WIDTH),
                ("attn_k", KEY_HEADS * SIZE, WIDTH),
                ("attn_v", KEY_HEADS * SIZE, WIDTH),
                ("attn_output", WIDTH, HEADS * SIZE),
                ("ffn_gate", INNER, WIDTH),
                ("ffn_up", INNER, WIDTH),
                ("ffn_down", WIDTH, INNER),
            ):
                self.tensors[f"blk.{layer}.{name}.weight"] = matrix(rows, columns, 0.25)
                if architecture == "qwen2" and name in ("attn_q", "attn_k", "attn_v"):
                    self.tensors[f"blk.{layer}.{name}.bias"] = random.normal(size=rows).astype(np.float32)
            for name in ("attn_norm", "ffn_norm"):
                scale = random.uniform(0.5, 1.5, WIDTH).astype(np.float32)
                self.tensors[f"blk.{layer}.{name}.weight"] = scale
            if architecture == "qwen3":
                for name in ("attn_q_norm", "attn_k_norm"):
                    scale = random.uniform(0.5, 1.5, SIZE).astype(np.float32)
                    self.tensors[f"blk.{layer}.{name}.weight"] = scale

    def write(self, path: Path, context_size: int = 512, **settings: Any) -> Path:
        """The model as a GGUF file, in which a llama's queries and keys are interleaved."""
        import gguf

        writer = gguf.GGUFWriter(str(path), settings.pop("architecture", self.architecture))
        writer.add_block_count(LAYERS)
        writer.add_context_length(context_size)
        writer.add_embedding_length(WIDTH)
        writer.add_feed_forward_length(INNER)
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(KEY_HEADS)
        writer.add_layer_norm_rms_eps(EPSILON)
        writer.add_rope_freq_base(BASE)
        for name, value in settings.items():
            writer.add_string(name, value)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(TOKENS)
        writer.add_token_types([1 if number < 257 else 3 for number in range(len(TOKENS))])
        writer.add_token_merges(["~ ~"])
        writer.add_eos_token_id(END)
        writer.add_bos_token_id(TOKENS.index("<|im_start|>"))
        writer.add_chat_template(TEMPLATE)
        for name, tensor in self.tensors.items():
            heads = {"attn_q": HEADS, "attn_k": KEY_HEADS}.get(name.split(".")[-2])
            if heads and self.architecture == "llama":
                tensor = interleaved(tensor, heads)
            writer.add_tensor(name, np.ascontiguousarray(tensor))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def log_probabilities(self, tokens: list[int]) -> NDArray[np.float64]:
        """Log-probabilities of the next token after each of these, (T, V)."""
        logits = self.states(tokens)[-1] @ self.tensors["output.weight"].T.astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def states(self, tokens: list[int]) -> list[NDArray[np.float64]]:
        """The hidden states after every layer, (T, width) each; the last ones normed."""
        held = {name: tensor.astype(np.float64) for name, tensor in self.tensors.items()}
        hidden, states = held["token_embd.weight"][tokens], list[NDArray[np.float64]]()
        for layer in range(LAYERS):
            normed = rms(hidden) * held[f"blk.{layer}.attn_norm.weight"]
            hidden = hidden + self._attention(held, f"blk.{layer}.", normed)
            normed = rms(hidden) * held[f"blk.{layer}.ffn_norm.weight"]
            gate = normed @ held[f"blk.{layer}.ffn_gate.weight"].T
            inner = gate / (1 + np.exp(-gate)) * (normed @ held[f"blk.{layer}.ffn_up.weight"].T)
            hidden = hidden + inner @ held[f"blk.{layer}.ffn_down.weight"].T
            states.append(hidden)
        return [*states[:-1], rms(hidden) * held["output_norm.weight"]]

    def _attention(
        self, held: dict[str, NDArray[np.float64]], prefix: str, normed: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        count = len(normed)

        def part(name: str, heads: int) -> NDArray[np.float64]:
            made = normed @ held[f"{prefix}{name}.weight"].T + held.get(f"{prefix}{name}.bias", 0.0)
            made = made.reshape(count, heads, SIZE)
            scale = held.get(f"{prefix}{name}_norm.weight")
            return made if scale is None else rms(made) * scale

        angles = np.arange(count)[:, None] / BASE ** (np.arange(0, SIZE, 2) / SIZE)
        angles = np.concatenate([angles, angles], axis=1)[:, None, :]

        def turned(states: NDArray[np.float64]) -> NDArray[np.float64]:
            first, second = states[..., : SIZE // 2], states[..., SIZE // 2 :]
            return states * np.cos(angles) + np.concatenate([-second, first], axis=-1) * np.sin(angles)

        queries, keys = turned(part("attn_q", HEADS)), turned(part("attn_k", KEY_HEADS))
        values = part("attn_v", KEY_HEADS)
        repeat = HEADS // KEY_HEADS
        scores = np.einsum("thd,shd->hts", queries, np.repeat(keys, repeat, axis=1)) / SIZE**0.5
        scores = np.where(np.tril(np.ones((count, count), bool)), scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        attended = np.einsum("hts,shd->thd", weights, np.repeat(values, repeat, axis=1))
        return attended.reshape(count, -1) @ held[f"{prefix}attn_output.weight"].T


def rms(states: NDArray[np.float64]) -> NDArray[np.float64]:
    """The states, each of length 1 on average."""
    return states / np.sqrt((states**2).mean(axis=-1, keepdims=True) + EPSILON)


def interleaved(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of queries or keys as GGUF files hold those of a llama."""
    turned = rows.reshape(heads, 2, SIZE // 2, -1).swapaxes(1, 2)
    return np.ascontiguousarray(turned.reshape(rows.shape))


def write_adapter(path: Path, parts: dict[str, tuple[NDArray[Any], NDArray[Any]]], alpha: float) -> Path:
    """A LoRA adapter of a llama as a GGUF file: first (r, K) and second (N, r) of each product."""
    import gguf

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, (first, second) in parts.items():
        heads = {"attn_q": HEADS, "attn_k": KEY_HEADS}.get(name.split(".")[-1])
        writer.add_tensor(f"{name}.weight.lora_a", np.ascontiguousarray(first, np.float32))
        turned = interleaved(second.astype(np.float32), heads) if heads else second.astype(np.float32)
        writer.add_tensor(f"{name}.weight.lora_b", np.ascontiguousarray(turned))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
