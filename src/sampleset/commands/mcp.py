"""An MCP server on standard input and output."""

from __future__ import annotations

from typing import Annotated

from sampleset.api.sampled_model import SampledModel
from sampleset.chat import SamplingParams
from sampleset.commands.opening import ModelOptions, SampleOptions
from sampleset.commands.options import AGGREGATION, option
from sampleset.commands.run import Run
from sampleset.integrations.mcp import mcp_server
from sampleset.prompts import usual_prompt
from sampleset.sampling.sampler import SamplingOptions

EXAMPLE = "sampleset mcp --model gpt-4o-mini -k 5"


def mcp(
    model: ModelOptions,
    samples: SampleOptions,
    run: Run,
    aggregator: Annotated[
        str, option("--aggregator", help="NAME or NAME:key=value,...", panel=AGGREGATION)
    ] = "majority_vote",
) -> None:
    """Serve tools over MCP on stdin and stdout: answer a question by k samples, vote on texts."""
    options = SamplingOptions(
        params=SamplingParams(samples.temperature, samples.top_p, max_tokens=samples.max_tokens),
        prompt=samples.prompt or usual_prompt(model.model),
        seed=samples.seed,
    )
    sampled = SampledModel(
        model.model,
        samples.samples,
        aggregator,
        base_url=model.base_url,
        api_key=model.api_key,
        options=options,
    )
    mcp_server(sampled, aggregator, samples.samples).run()
