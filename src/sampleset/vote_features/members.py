"""Which model of a pool gave a sample, so that the weights of models are learned and not guessed."""

from __future__ import annotations

from sampleset.vote_features.base import MEMBER, VOTE_FEATURES, Columns, CountedSet


class Members:
    """One feature per model that drew a sample of the set: 1 for its samples, 0 for those of others."""

    def columns(self, counted: CountedSet) -> Columns:
        """One column per model; none where the samples do not name the models that drew them."""
        names = [member_of(sample.model) for sample in counted.sample_set.samples]
        known = sorted({name for name in names if name is not None})
        return {f"{MEMBER}{name}": [float(member == name) for member in names] for name in known}


def member_of(model: str | None) -> str | None:
    """A model's name without the engine that ran it: `openvino:M@d` and `llamacpp:M@d` are one model."""
    if model is None:
        return None
    engine, colon, name = model.partition(":")
    return name if colon and engine in ("openvino", "llamacpp", "transformers", "vllm") and name else model


VOTE_FEATURES.register("members")(Members())
