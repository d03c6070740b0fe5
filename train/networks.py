"""The networks in torch: each reads windows (batch, bars, columns) and answers with `outputs` numbers a window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from core.parameters import Value

_RECURRENT: dict[str, type[nn.LSTM | nn.GRU]] = {"Hybrid CNN-LSTM": nn.LSTM, "LSTM": nn.LSTM, "GRU": nn.GRU}


class WindowNetwork(nn.Module):
    """Convolutions over the bars where the model has some, a recurrent part, and a linear answer to its last state."""

    def __init__(self, name: str, values: Mapping[str, Value], columns: int, outputs: int) -> None:
        super().__init__()
        hidden, layers, dropout = int(values["hidden_size"]), int(values["layers"]), float(values["dropout"])
        self.patterns = _convolutions(values, columns) if "filters" in values else None
        self.memory = _RECURRENT[name](
            int(values.get("filters", columns)),
            hidden,
            layers,
            batch_first=True,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(dropout)
        self.answer = nn.Linear(hidden, outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """The answers (batch, outputs): logits of the classes, or the standardised value."""
        read = windows
        if self.patterns is not None:
            read = self.patterns(windows.transpose(1, 2)).transpose(1, 2)
        states, _ = self.memory(read)
        return cast("Tensor", self.answer(self.dropout(states[:, -1])))


def _convolutions(values: Mapping[str, Value], columns: int) -> nn.Sequential:
    """Convolutions that see, at each bar, that bar and those before it."""
    filters, width, pooling = int(values["filters"]), int(values["kernel_size"]), int(values["pooling"])
    parts: list[nn.Module] = []
    for _ in range(int(values["convolutions"])):
        parts += [nn.ConstantPad1d((width - 1, 0), 0.0), nn.Conv1d(columns, filters, width), nn.ReLU()]
        columns = filters
    if pooling > 1:
        parts.append(nn.MaxPool1d(pooling, ceil_mode=True))
    return nn.Sequential(*parts)


def build_network(name: str, values: Mapping[str, Value], columns: int, outputs: int) -> WindowNetwork:
    """The network of that model with weights drawn by torch's chance as it stands."""
    network = WindowNetwork(name, values, columns, outputs)
    # A forget gate that begins open lets the first steps of a window reach the answer.
    # Source: R. Jozefowicz et al., An Empirical Exploration of Recurrent Network Architectures, ICML 2015.
    if isinstance(network.memory, nn.LSTM):
        size = network.memory.hidden_size
        with torch.no_grad():
            for layer in range(network.memory.num_layers):
                getattr(network.memory, f"bias_ih_l{layer}")[size : 2 * size].fill_(1.0)
                getattr(network.memory, f"bias_hh_l{layer}")[size : 2 * size].fill_(0.0)
    return network
