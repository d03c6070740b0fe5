"""Model versions: the registry with its stages, and the card of one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from components.charts.training import calibration_figure, importance_bars
from components.numbers import DASH, number, span, stamp
from components.panels.chart import show_still
from components.panels.choice import choose
from components.panels.failure import failures_shown
from components.panels.page import card, columns, do_once, metric, metric_row
from components.panels.table import csv_button, show_table
from components.panels.words import verbatim
from core.errors import UnknownNameError
from core.plain import plain
from data.pipeline_controller import controller
from train import registry
from train.predict import write_predictions
from train.registry import ModelVersion, Stage
from workbench import BACKTESTING, LIVE, MODEL

# Figures of the card, in the order in which a reader asks: of classes, then of values.
_FIGURES = {
    "auc": ("AUC", True),
    "log_loss": ("Log loss", False),
    "brier": ("Brier score", False),
    "accuracy": ("Accuracy", True),
    "balanced_accuracy": ("Balanced accuracy", True),
    "calibration_error": ("Calibration error", False),
    "mae": ("Mean absolute error", False),
    "rmse": ("Root mean squared error", False),
    "r2": ("R²", True),
    "directional_accuracy": ("Directional accuracy", True),
}


def show_registry(models: Sequence[ModelVersion]) -> None:
    """All model versions with their test figure beside the baseline; promote, roll back, archive, open a card."""
    with card("Model registry", "newest first · figures of the held-out part · select one"):
        if not models:
            st.markdown("Each job that succeeds enters its model here, with its card.")
            return
        table = _registry_table(models)
        selected = show_table(
            table,
            key="models.table",
            select="one",
            formats={
                "Test": lambda value: number(value, 4),
                "Baseline": lambda value: number(value, 4),
                "Better by": lambda value: number(value, 4, sign=True),
            },
            signed=["Better by"],
            widths={"Model": 330, "Stage": 86, "Figure": 60, "Test": 70, "Baseline": 74, "Better by": 80},
        )
        chosen = models[selected[0]] if selected else None
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            _show_actions(chosen)
            csv_button("Models as CSV", lambda: table, "model_versions.csv", key="models.csv")


def _show_actions(chosen: ModelVersion | None) -> None:
    """What can be done to the selected one; the buttons stand there without one too, and wait."""
    stage = chosen.stage if chosen else None
    is_champion = stage is Stage.CHAMPION
    promote = st.button("Promote", key="models.promote", disabled=chosen is None or is_champion)
    help_text = "Brings back the one before."
    roll_back = st.button("Roll back", key="models.rollback", disabled=not is_champion, help=help_text)
    archive = st.button("Archive", key="models.archive", disabled=chosen is None or stage is Stage.ARCHIVED)
    open_card = st.button("Model card", key="models.card", disabled=chosen is None, icon=MODEL.icon)
    if chosen is None:
        return
    if open_card:
        st.switch_page(MODEL.file, query_params={"model": str(chosen.id)})
    if promote or roll_back or archive:
        with failures_shown():
            if promote:
                registry.promote(chosen)
            elif roll_back:
                registry.rollback(chosen.task)
            else:
                registry.archive(chosen)
            st.rerun()


def _registry_table(models: Sequence[ModelVersion]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Model": [model.label for model in models],
            "Stage": [f"{model.stage}{' (expired)' if model.is_expired else ''}" for model in models],
            "Figure": [model.metric_name for model in models],
            "Test": [model.metric for model in models],
            "Baseline": [model.baseline_metric for model in models],
            "Better by": [_better(model.metric_name, model.metric, model.baseline_metric) for model in models],
            "Beyond shuffled": [_beyond(model) for model in models],
            "Made, UTC": [stamp(model.created_at) for model in models],
            "Job": [model.job_id for model in models],
        }
    ).astype(dict.fromkeys(("Test", "Baseline", "Better by"), "float64"))


def _better(name: str, value: float | None, baseline: float | None) -> float | None:
    """By how much the figure beats the baseline's: positive is better."""
    if value is None or baseline is None:
        return None
    return value - baseline if _FIGURES.get(name, ("", True))[1] else baseline - value


def _beyond(model: ModelVersion) -> str:
    """Whether the figure lies beyond what permuted labels reach in 95 of 100 rounds."""
    null = model.card["metrics"]["null"]
    if null.get("p_value") is None:
        return DASH
    return "yes" if null["p_value"] <= 0.05 else "no"


def ask_model(models: Sequence[ModelVersion]) -> ModelVersion:
    """The model to look at, kept in the URL, the newest at first."""
    by_id = {str(model.id): model for model in models}
    return by_id[choose("Model", list(by_id), "model", lambda key: by_id[key].label, show_label=False)]


def show_card(model: ModelVersion) -> None:
    """What a model says about itself: figures beside baseline and permuted labels, and what made it."""
    found, metrics = model.card, model.card["metrics"]
    _show_headline(model)
    left, right = columns([1, 1])
    with left, card("Held-out figures", f"the last part of the data, judged once · baseline: {_words(metrics)}"):
        table = _figures_table(found)
        show_table(
            table,
            key="model.figures",
            formats={name: lambda value: number(value, 4) for name in ("Test", "Baseline", "Validation")},
        )
        csv_button("Figures as CSV", lambda: table, f"model_{model.id}_figures.csv", key="model.figures.csv")
        st.caption(verbatim(_null_words(metrics["null"])))
        _show_confusion(metrics["test"])
    with right:
        if "calibration" in metrics["test"]:
            with card("Calibration", "bins of equally many samples · dotted: as predicted"):
                show_still(calibration_figure(metrics["test"]["calibration"]), "model.calibration", "calibration")
        with card("What it listens to", "loss of the figure when a feature is permuted"):
            if found["importance"]:
                figure = importance_bars(found["importance"], unit=metrics["headline"])
                show_still(figure, "model.importance", f"model_{model.id}_importance")
            else:
                st.markdown("Nothing can be told: the held-out part is too small, or of one class.")
    _show_folds(model)
    _show_origin(model)


def _words(metrics: dict[str, Any]) -> str:
    return verbatim(str(metrics["baseline"].get("words", "naive")))


def _show_headline(model: ModelVersion) -> None:
    parts = model.card["parts"]
    test = parts.get("test", {})
    row = metric_row()
    name = _FIGURES[model.metric_name][0]
    metric(row, name, number(model.metric, 4), "held out")
    metric(row, "Baseline", number(model.baseline_metric, 4), "beside it")
    gain = _better(model.metric_name, model.metric, model.baseline_metric)
    metric(row, "Better by", number(gain, 4, sign=True), "positive is better")
    null = model.card["metrics"]["null"]
    metric(row, "p-value", number(null.get("p_value"), 3), "of shuffled labels")
    metric(row, "Test samples", number(test.get("samples")), f"worth {number(test.get('effective_samples'))}")
    metric(row, "Age", span(model.age_days * 86_400), "expired" if model.is_expired else "may predict")


def _figures_table(found: dict[str, Any]) -> pd.DataFrame:
    metrics = found["metrics"]
    test, naive, validated = metrics["test"], metrics["baseline"], metrics["validation"] or {}
    rows = [
        (title, test[name], naive.get(name), validated.get(name), "higher" if higher else "lower")
        for name, (title, higher) in _FIGURES.items()
        if isinstance(test.get(name), (int, float))
    ]
    table = pd.DataFrame(rows, columns=["Figure", "Test", "Baseline", "Validation", "Better is"])
    return table.astype(dict.fromkeys(("Test", "Baseline", "Validation"), "float64"))


def _null_words(null: dict[str, Any]) -> str:
    if null.get("p_value") is None:
        return "Permuted labels could not be judged: the held-out part is too small, or of one class."
    beyond = "lies beyond" if null["p_value"] <= 0.05 else "does not lie beyond"
    return (
        f"{number(null['observed'], 4)} {beyond} what permuted labels reach in 95 of 100 rounds "
        f"({number(null['quantile_95'], 4)}; {number(null['rounds'])} rounds, blocks of {number(null['block'])})."
    )


def _show_confusion(test: dict[str, Any]) -> None:
    if "confusion" not in test:
        return
    classes = [str(each) for each in test["classes"]]
    table = pd.DataFrame(test["confusion"], columns=[f"said {each}" for each in classes])
    table.insert(0, "Came", classes)
    threshold = test.get("threshold")
    st.caption("Confusion" + (f" at a threshold of {number(threshold, 3)}, chosen on validation" if threshold else ""))
    show_table(table, key="model.confusion", formats=dict.fromkeys(table.columns[1:], number))


def _show_folds(model: ModelVersion) -> None:
    folds = model.card.get("folds") or []
    if not folds:
        return
    with card("Walk-forward folds", "each trained and judged on its own stretch of time"):
        table = pd.DataFrame(
            {
                "Fold": [fold["fold"] for fold in folds],
                "From, UTC": [stamp(fold["parts"]["test"]["from"])[:10] for fold in folds],
                "Until, UTC": [stamp(fold["parts"]["test"]["until"])[:10] for fold in folds],
                model.metric_name: [fold["metric"] for fold in folds],
                "Baseline": [fold["baseline"] for fold in folds],
            }
        )
        formats = {name: lambda value: number(value, 4) for name in (model.metric_name, "Baseline")}
        show_table(table, key="model.folds", formats=formats)
        csv_button("Folds as CSV", lambda: table, f"model_{model.id}_folds.csv", key="model.folds.csv")


def _show_origin(model: ModelVersion) -> None:
    found = model.card
    parts = pd.DataFrame(
        {
            "Part": list(found["parts"]),
            "Samples": [part["samples"] for part in found["parts"].values()],
            "Worth": [part["effective_samples"] for part in found["parts"].values()],
            "From, UTC": [stamp(part["from"]) for part in found["parts"].values()],
            "Until, UTC": [stamp(part["until"]) for part in found["parts"].values()],
        }
    )
    left, right = columns([1, 1])
    with left, card("Data", verbatim(f"{found['dataset']['label']} · purge {found['purge']} bars between the parts")):
        show_table(parts, key="model.parts", formats={"Samples": number, "Worth": number})
        st.caption("Worth: samples whose targets overlap count for less than one each.")
        st.caption(verbatim(f"Features: {', '.join(found['features'])}"))
    maker = f"{model.model_name} · seed {found['seed']} · {found['device']['device']}"
    with right, card("What made it", verbatim(maker)):
        if found.get("overridden"):
            accepted = f"Accepted all the same: {', '.join(found['overridden'])}. {found.get('override_reason', '')}"
            st.warning(verbatim(accepted))
        for remark in found["remarks"]:
            st.caption(verbatim(remark))
        st.json(plain({name: found["job"][name] for name in sorted(found["job"])}), expanded=False)
        hardware = found.get("hardware", {})
        if hardware:
            st.caption(verbatim(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in hardware.items())))
        st.download_button(
            "Model card as JSON",
            data=lambda: json.dumps(plain(found), indent=2, ensure_ascii=False),
            file_name=f"model_card_{model.id}.json",
            mime="application/json",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            key="model.json",
        )


def offer_deployment(model: ModelVersion) -> None:
    """The way to the page Live with its form filled; what trades was chosen on purpose, so only a champion does."""
    champion = model.stage is Stage.CHAMPION
    if st.button(
        "Deploy on demo…",
        key="model.deploy",
        icon=LIVE.icon,
        disabled=not champion or model.is_expired,
        help="Puts it to work on the live bars of a terminal; the form opens first."
        if champion
        else "Promote it on the Training Hub first: only a champion trades.",
    ):
        st.switch_page(LIVE.file, query_params={"deploy": "model", "model": str(model.id)})


def offer_predictions(model: ModelVersion) -> None:
    """Write what the model says of bars it had not seen as a dataset version, ready for a backtest."""
    with st.popover("Backtest its predictions", icon=BACKTESTING.icon):
        st.markdown(
            "Writes its predictions for the bars it had not seen into a new dataset version, which the strategy "
            "**Predictions** trades."
        )
        include = st.multiselect(
            "Also bars it had seen",
            ["validation", "train"],
            key="model.include",
            help="Results on them are no evidence.",
        )

        def work() -> None:
            with st.spinner("Asking the model"):
                version = write_predictions(model, _dataset_of(model), include=include)
            query = {"dataset": version.short_hash, "strategy": "Predictions"}
            st.switch_page(BACKTESTING.file, query_params=query)

        with failures_shown():
            do_once(st.container(), "Write predictions", "model.predict", work)


def _dataset_of(model: ModelVersion) -> str:
    """The dataset it was made of. Raises UnknownNameError when it is gone."""
    try:
        return controller.version(model.dataset_hash).content_hash
    except UnknownNameError:
        raise UnknownNameError(
            f"The dataset {model.dataset_hash[:8]} that {model.label} was made of is no longer there.",
            "Collect it again, or ask from Python: train.predict.write_predictions(model, version).",
        ) from None
