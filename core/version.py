"""The version of Sequence, said once."""

__version__ = "0.1.0"
