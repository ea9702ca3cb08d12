"""Learn to reason across parallel samples."""

__version__ = "0.1.0"
