"""Model: the card of one trained model, what it is worth on data it had not seen, and what made it."""

from __future__ import annotations

import streamlit as st

from components.panels.failure import failures_shown, fetched
from components.panels.models import ask_model, offer_deployment, offer_predictions, show_card
from components.panels.page import Colour, card, page_header, show_badges
from train.registry import Stage, list_models
from workbench import OVERVIEW, TRAINING

SENTENCE = "What one trained model is worth on data it had not seen, beside its baseline, and what made it."
COLOURS: dict[Stage, Colour] = {Stage.CANDIDATE: "blue", Stage.CHAMPION: "green", Stage.ARCHIVED: "gray"}


def show_empty() -> None:
    """No model yet: what will be here and how to get there."""
    with card("No model yet"):
        st.markdown("A training job that succeeds leaves its model here, with its card.")
        st.markdown("It needs a dataset version; the sample workflow makes one.")
        st.page_link(TRAINING.file, label="Train a model", icon=TRAINING.icon)
        st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")


def show() -> None:
    """Which model, what it is worth, what made it."""
    header = page_header("Model", SENTENCE)
    models = fetched(list_models)
    if not models:
        show_badges(header, ("no model yet", "gray") if models == [] else ("cannot read", "red"))
        if models == []:
            show_empty()
        return
    model = ask_model(models)
    age: list[tuple[str, Colour]] = [("expired", "red")] if model.is_expired else []
    show_badges(header, (str(model.stage), COLOURS[model.stage]), *age)
    with st.container(horizontal=True, gap="xsmall"):
        offer_predictions(model)
        offer_deployment(model)
    with failures_shown():
        show_card(model)


with failures_shown():
    show()
