"""From a question to its sample set: draws, stopping rules, pools of models."""
