"""The training floor: dataset versions become samples without leakage, samples become models, in a queue."""
