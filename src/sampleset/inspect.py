"""The name users type for `sampleset.integrations.inspect`: inspect_ai's provider and solver."""

from sampleset.integrations.inspect import SampledModelAPI, aggregated

__all__ = ["SampledModelAPI", "aggregated"]
