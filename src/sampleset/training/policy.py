"""The model that is trained: loaded, adapted, saved and loaded again. Safetensors throughout."""

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
    without_progress_bars,
)
from sampleset.engines.huggingface.text import Texts
from sampleset.errors import DataError, InvalidArgumentError
from sampleset.training.export.model_card import model_card
from sampleset.training.recipe import LoraOptions, Recipe


@dataclass(slots=True)
class Policy:
    """A model with what is learned beside its weights.

    Attributes:
        model: Of transformers, with a LoRA adapter of peft unless every weight is trained.
        tokenizer: Its tokenizer.
        texts: Between text and tokens.
        prior: Multiples of a candidate's log votes and mean token log-probability, shape (2,).
        base: The model it started from.
    """

    model: Any
    tokenizer: Any
    texts: Texts
    prior: Any
    base: ModelFiles

    @property
    def trained(self) -> list[Any]:
        """The weights of the model that are trained."""
        return [one for one in self.model.parameters() if one.requires_grad]


def start_policy(recipe: Recipe) -> Policy:
    """The recipe's model with a fresh adapter, which changes nothing yet.

    An adapter is itself trained further, or with `lora: null` merged before every weight is.

    Raises:
        InputNotFoundError: The model is not there.
        InvalidArgumentError: It is an adapter of another rank, scale or depth than the recipe's, or there
            is no such device.
        MissingExtraError: torch, transformers or peft is not installed.
    """
    torch: Any = import_extra("torch")
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    base = find_model(recipe.model)
    loaded = load_model(base, recipe.device, recipe.dtype, merge_adapter=recipe.lora is None)
    model = loaded.model
    if recipe.lora is None:
        model.requires_grad_(True)  # peft has frozen what it merged an adapter into
    elif base.base is not None:
        _train_further(model, recipe.lora)
        base = base.base
    else:
        peft: Any = import_extra("peft")
        torch.manual_seed(recipe.seed)
        layers = model.config.num_hidden_layers
        kept = min(recipe.lora.last_layers or layers, layers)
        config = peft.LoraConfig(
            r=recipe.lora.r,
            lora_alpha=recipe.lora.alpha,
            target_modules="all-linear" if kept == layers else _linear_from(model, layers - kept),
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            # peft asks transformers by a name that has grown old.
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
        policy: What is saved.
        folder: Where to; it exists.
        record: How the model is to be asked; the base model and the learned multiples are filled in here.
        trained_on: Digests of the questions trained on, where they are known.
    """
    with without_progress_bars():
        policy.model.save_pretrained(str(folder), safe_serialization=True)
    policy.tokenizer.save_pretrained(str(folder))
    votes, confidence = policy.prior.tolist()
    whole = replace(record, base_model=policy.base.identity, vote_weight=votes, confidence_weight=confidence)
    write_record(folder, whole)
    if trained_on is not None:
        write_trained_on(folder, trained_on)
    (folder / "README.md").write_text(model_card(whole.to_json()), encoding="utf-8")


def load_weights(policy: Policy, folder: Path) -> None:
    """Put the weights that `save_policy` wrote into a policy of the same recipe.

    Raises:
        DataError: They do not fit.
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
        # While it is trained, the score's own multiple is 1.
        scale = record.score_weight or 1.0
        policy.prior.copy_(torch.tensor([record.vote_weight / scale, record.confidence_weight / scale]))


def replace_folder(new: Path, folder: Path) -> None:
    """Put a finished folder in another's place; a kill in between leaves one of the two."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def _train_further(model: Any, lora: LoraOptions) -> None:
    """Make a loaded adapter trainable."""
    held = model.peft_config["default"]
    if (held.r, held.lora_alpha) != (lora.r, lora.alpha):
        raise InvalidArgumentError(
            f"The adapter to go on from has r={held.r}, alpha={held.lora_alpha}; the recipe has "
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
    """Names of the linear modules of the layers from this one on."""
    torch: Any = import_extra("torch")
    names = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    return [name for name in names if _layer_of(name) >= first]


def _layer_of(name: str) -> int:
    """Number of the layer that a module or weight of this name is in, -1 if in none."""
    found = re.search(r"\.(\d+)\.", name)
    return int(found[1]) if found else -1


def _reference(base: ModelFiles) -> str:
    """How an adapter names its base: `embedded` and Hub ids as they are, a local model by its whole path."""
    if base.is_embedded:
        return EMBEDDED
    return base.name if "/" in base.name else str(base.path.resolve())
