"""The model that is trained: loaded, adapted, saved and loaded again, always as safetensors."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sampleset.engines.checkpoint import CheckpointRecord, read_record, write_record, write_trained_on
from sampleset.engines.gguf import EMBEDDED
from sampleset.engines.huggingface.model import (
    ModelFiles,
    find_model,
    import_extra,
    load_model,
    open_weights,
    without_progress_bars,
)
from sampleset.engines.huggingface.precision import warn_if_slow
from sampleset.engines.huggingface.text import Texts
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.training.export.model_card import model_card
from sampleset.training.recipe import LoraOptions, Recipe


@dataclass(slots=True)
class Policy:
    """A model with its learned multiples.

    Attributes:
        model: A model of transformers, with a LoRA adapter of peft unless every weight is trained.
        tokenizer: Its tokenizer.
        texts: Conversion between text and tokens.
        prior: Multiples of a candidate's log votes and mean token log-probability, shape (2,).
        base: The model that it started from.
    """

    model: Any
    tokenizer: Any
    texts: Texts
    prior: Any
    base: ModelFiles

    @property
    def trained(self) -> list[Any]:
        """The weights of the model that are trained."""
        return [weight for weight in self.model.parameters() if weight.requires_grad]


def start_policy(recipe: Recipe) -> Policy:
    """The recipe's model with a new adapter, which does not change its output yet.

    If the recipe's model is an adapter, it is trained further. With `lora: null` it is merged first, and
    every weight is trained.

    Raises:
        InputNotFoundError: The model does not exist.
        InvalidArgumentError: The model is an adapter with another rank, scale or depth than the recipe's, or
            there is no such device.
        MissingExtraError: torch, transformers or peft is not installed.
    """
    torch: Any = import_extra("torch")
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    base = find_model(recipe.model)
    loaded = load_model(base, recipe.device, recipe.dtype, merge_adapter=recipe.lora is None)
    model = loaded.model
    if recipe.matmul_dtype:
        warn_if_slow(torch, recipe.matmul_dtype, loaded.device.type, "matmul_dtype")
    if recipe.lora is None:
        model.requires_grad_(True)  # peft froze the weights when it merged the adapter
    elif base.base is not None:
        _train_further(model, recipe.lora)
        base = base.base
    else:
        peft: Any = import_extra("peft")
        torch.manual_seed(recipe.seed)
        layers = model.config.num_hidden_layers
        adapted_layers = min(recipe.lora.last_layers or layers, layers)
        config = peft.LoraConfig(
            r=recipe.lora.r,
            lora_alpha=recipe.lora.alpha,
            target_modules="all-linear"
            if adapted_layers == layers
            else _linear_from(model, layers - adapted_layers),
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            # peft uses a deprecated name of transformers.
            warnings.simplefilter("ignore", FutureWarning)
            model = peft.get_peft_model(model, config)
        model.peft_config["default"].base_model_name_or_path = _reference(base)
    prior = torch.tensor(
        [recipe.vote_prior, recipe.confidence_prior], device=model.device, requires_grad=True
    )
    return Policy(model, loaded.tokenizer, Texts(loaded.tokenizer), prior, base)


def save_policy(
    policy: Policy, folder: Path, record: CheckpointRecord, trained_on: AbstractSet[str] | None = None
) -> None:
    """Write the adapter (or the model), its tokenizer, the record and a model card into a new folder.

    Args:
        policy: The policy.
        folder: An existing folder.
        record: The record; the base model and the learned multiples are added here.
        trained_on: Digests of the questions trained on, `None` if unknown.
    """
    # Left to itself, peft asks the Hub whether the base has other embeddings than the model at hand.
    options = {"save_embedding_layers": False} if hasattr(policy.model, "peft_config") else {}
    with without_progress_bars():
        policy.model.save_pretrained(str(folder), safe_serialization=True, **options)
    open_weights(folder)
    policy.tokenizer.save_pretrained(str(folder))
    votes, confidence = policy.prior.tolist()
    full_record = replace(
        record, base_model=policy.base.identity, vote_weight=votes, confidence_weight=confidence
    )
    write_record(folder, full_record)
    if trained_on is not None:
        write_trained_on(folder, trained_on)
    (folder / "README.md").write_text(model_card(full_record.to_json()), encoding="utf-8")


def load_weights(policy: Policy, folder: Path) -> None:
    """Load the weights that `save_policy` wrote into a policy of the same recipe.

    Raises:
        DataError: The weights do not fit.
    """
    torch: Any = import_extra("torch")
    safetensors: Any = import_extra("safetensors.torch")
    try:
        record = read_record(folder)
        if hasattr(policy.model, "peft_config"):
            peft: Any = import_extra("peft")
            weights = safetensors.load_file(str(folder / "adapter_model.safetensors"))
            peft.set_peft_model_state_dict(policy.model, weights)
        else:
            weights = {}
            for path in sorted(folder.glob("*.safetensors")):
                weights |= safetensors.load_file(str(path))
            policy.model.load_state_dict(weights, strict=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(f"The checkpoint {str(folder)!r} does not fit this recipe ({error}).") from error
    if record is None:
        raise DataError(f"The checkpoint {str(folder)!r} has no record. Remove the folder to start again.")
    with torch.no_grad():
        # During training, the multiple of the score is 1.
        scale = record.score_weight or 1.0
        policy.prior.copy_(torch.tensor([record.vote_weight / scale, record.confidence_weight / scale]))


def replace_folder(new: Path, folder: Path) -> None:
    """Replace a folder by a finished one. If the process is killed meanwhile, one of the two remains."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def _train_further(model: Any, lora: LoraOptions) -> None:
    """Make a loaded adapter trainable."""
    config = model.peft_config["default"]
    if (config.r, config.lora_alpha) != (lora.r, lora.alpha):
        raise InvalidArgumentError(
            f"The adapter to go on from has r={config.r}, alpha={config.lora_alpha}; the recipe has "
            f"lora.r={lora.r}, lora.alpha={lora.alpha}. Set them alike."
        )
    adapted = {_layer_of(name) for name, _ in model.named_parameters() if "lora_" in name}
    if lora.last_layers is not None and len(adapted) != min(lora.last_layers, model.config.num_hidden_layers):
        raise InvalidArgumentError(
            f"The adapter to go on from adapts {len(adapted)} layers; the recipe has "
            f"lora.last_layers={lora.last_layers}. Leave it out, to train those that it adapts."
        )
    for name, weight in model.named_parameters():
        weight.requires_grad_("lora_" in name)


def _linear_from(model: Any, first: int) -> list[str]:
    """Names of the linear modules of the layers from `first` on."""
    torch: Any = import_extra("torch")
    names = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    return [name for name in names if _layer_of(name) >= first]


def _layer_of(name: str) -> int:
    """Number of the layer of a module or weight, from its name; -1 if it is in no layer."""
    match = re.search(r"\.(\d+)\.", name)
    return int(match[1]) if match else -1


def _reference(base: ModelFiles) -> str:
    """The base model's name for an adapter: `embedded`, a Hub id, or the full path of a local model."""
    if base.is_embedded:
        return EMBEDDED
    return base.name if "/" in base.name else str(base.path.resolve())
