"""The widget that fits a parameter's declaration, for the forms of strategies and of models."""

from __future__ import annotations

import streamlit as st

from components.panels.defaults import keep_defaults
from core.parameters import Parameter, Value


def ask_parameter(
    key: str,
    parameter: Parameter,
    *,
    first: Value | None = None,
    step: float | None = None,
    label: str | None = None,
) -> Value:
    """What the reader gives for `parameter`; at `first`, or the declared default, before that.

    `step` is what one click on a number adds: a whole number's is 1 without it. `label` replaces its name in words.
    """
    label = label or parameter.name.replace("_", " ").capitalize()
    keep_defaults({key: parameter.default if first is None else first})
    meaning = f"{parameter.meaning}."
    if isinstance(parameter.default, bool):
        return st.checkbox(label, key=key, help=meaning)
    if isinstance(parameter.default, str):
        if parameter.choices:
            return str(st.selectbox(label, parameter.choices, key=key, help=meaning))
        return st.text_input(label, key=key, help=meaning)
    if parameter.low is not None and parameter.high is not None:
        meaning = f"{parameter.meaning}; {parameter.low:g} to {parameter.high:g}."
    if isinstance(parameter.default, int):
        low, high = (None if bound is None else int(bound) for bound in (parameter.low, parameter.high))
        return st.number_input(label, low, high, step=int(step or 1), key=key, help=meaning)
    low_float, high_float = (None if bound is None else float(bound) for bound in (parameter.low, parameter.high))
    # With a step Streamlit writes as many digits as the step has; a learning rate of 0.001 needs more.
    written = "%g" if step is None else None
    return st.number_input(label, low_float, high_float, step=step, format=written, key=key, help=meaning)
