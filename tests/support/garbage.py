"""What other people's packages leave open, collected where its warnings fail no later test."""

import gc
import warnings


def collect_quietly() -> None:
    """Collect garbage without warnings of connections that nobody closed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
