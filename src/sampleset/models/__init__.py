"""Ask a model: open it by name (`opening`), retries, budgets, and clusters (`ray`)."""
