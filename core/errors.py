"""Every error that Sequence raises on purpose, ordered by who must act.

    SequenceError
    ├── InputError               the caller changes what was asked for; nothing was stored
    │   ├── SettingsError        … a key of config.yaml or a SEQUENCE_ variable
    │   ├── BarsError            … price rows that break the bars contract
    │   ├── DataRequestError     … a source, symbol, range or preprocessing that cannot be had
    │   ├── UnknownNameError     … a name that nothing answers to; offers the nearest
    │   ├── NameTakenError       … a name that already stands for something else
    │   └── StrategyError        … a strategy or one of its parameters
    ├── TryAgainError            it passes by itself; the same call may work later
    │   └── StoreLockedError     … another program holds the database
    └── InterventionError        a person must put something right first
        ├── StoreUnusableError   … a database that is empty, foreign, newer or damaged
        ├── ModelError           … a trained model that is damaged, swapped or too old
        └── DiskError            … the disk is full or does not let us write

Each carries two sentences: `what` happened (with the value that caused it) and the `cure`.
"""

from __future__ import annotations


class SequenceError(Exception):
    """A failure that Sequence understands: `what` went wrong and, where there is one, the `cure`."""

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(f"{what} {cure}".strip())
        self.what = what
        self.cure = cure

    def __reduce__(self) -> tuple[type[SequenceError], tuple[str, ...]]:
        return type(self), (self.what, self.cure)


class InputError(SequenceError):
    """What was asked for cannot be done as asked; nothing was stored."""


class SettingsError(InputError):
    """config.yaml or a SEQUENCE_ variable holds something that cannot be used."""


class BarsError(InputError):
    """Price rows break the bars contract of `market.bars`."""


class DataRequestError(InputError):
    """No source can give what was asked for."""


class UnknownNameError(InputError):
    """Nothing answers to the name that was given."""


class NameTakenError(InputError):
    """The name already stands for something else."""


class StrategyError(InputError):
    """A strategy, or a parameter given to it, cannot be used."""


class TryAgainError(SequenceError):
    """Something outside is busy; the same call may work later."""


class StoreLockedError(TryAgainError):
    """Another program holds a database for longer than the busy timeout."""


class InterventionError(SequenceError):
    """A person must put something right before this can work."""


class StoreUnusableError(InterventionError):
    """A database file, `path`, is empty, foreign, newer than this program, or damaged."""

    def __init__(self, what: str, cure: str = "", path: str = "") -> None:
        super().__init__(what, cure)
        self.path = path

    def __reduce__(self) -> tuple[type[SequenceError], tuple[str, ...]]:
        return type(self), (self.what, self.cure, self.path)


class ModelError(InterventionError):
    """A trained model is damaged, was swapped, or is too old to predict."""


class DiskError(InterventionError):
    """The disk is full, or refuses to be written."""
