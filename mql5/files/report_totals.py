"""Whether a report agrees with itself: its deals with its balances, its sums and its figures.

A report that was cut, edited or read wrongly seldom still adds up. Money is compared to the cent, ratios to half of
their second decimal. Nothing is put right here; each disagreement is a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mql5.files.report_content import Content

_CENT = 0.005 + 1e-6  # less than one cent: what is printed is rounded already
_ROUNDED = 0.005 + 1e-6


def check_totals(content: Content) -> tuple[bool | None, list[str]]:
    """Whether everything that can be checked agrees (None: nothing can), and what does not, in words."""
    checks = [*_deal_checks(content), *_figure_checks(content), *_pass_checks(content.passes)]
    problems = [words for agrees, words in checks if not agrees]
    return (not problems if checks else None), problems


def money_of(deals: pd.DataFrame) -> pd.Series:
    """What each deal did to the balance."""
    return deals["profit"] + deals["commission"] + deals["fee"] + deals["swap"]


def _deal_checks(content: Content) -> Iterator[tuple[bool, str]]:
    deals, figures = content.deals, content.statistics
    if deals is None:
        if content.positions is not None and (net := _number(figures, "total_net_profit")) is not None:
            found = float(content.positions[["profit", "commission", "fee", "swap"]].to_numpy().sum())
            yield _same("The positions", found, "Total Net Profit", net, _CENT)
        return
    traded = deals["type"].isin(["buy", "sell"])
    if content.positions is not None:
        listed, made = float(content.positions["profit"].sum()), float(deals.loc[traded, "profit"].sum())
        yield _same("The profit of the positions", listed, "that of the deals", made, _CENT)
    yield from _balance_checks(deals)
    for name in ("commission", "fee", "swap", "profit"):
        if name in content.totals:
            found = float(deals.loc[traded, name].sum())
            yield _same(f"The column {name}", found, "the sum printed below it", content.totals[name], _CENT)
    if "balance" in content.totals and deals["balance"].notna().any():
        last = float(deals["balance"].dropna().iloc[-1])
        yield _same("The last balance", last, "the one printed below", content.totals["balance"], _CENT)
    if (net := _number(figures, "total_net_profit")) is not None:
        yield _same("The deals", float(money_of(deals[traded]).sum()), "Total Net Profit", net, _CENT)
    exits = int(deals.loc[traded, "direction"].isin(["out", "in/out", "out by"]).sum())
    for name, label, count in (("total_trades", "Total Trades", exits), ("total_deals", "Total Deals", traded.sum())):
        if (said := _number(figures, name)) is not None:
            yield _same("The count of deals", float(count), label, said, 0.5)


def _balance_checks(deals: pd.DataFrame) -> Iterator[tuple[bool, str]]:
    """Each balance follows from the one before."""
    balances = deals["balance"].to_numpy(dtype="float64")
    if np.isnan(balances).any() or len(balances) < 2:
        return
    wrong = np.abs(balances[:-1] + money_of(deals).to_numpy()[1:] - balances[1:]) > _CENT
    at = int(np.argmax(wrong)) + 1
    words = f"{wrong.sum()} balances do not follow from those before; the first is {balances[at]:.2f}"
    yield not wrong.any(), f"{words} after deal {deals['deal'].iloc[at]}."


def _figure_checks(content: Content) -> Iterator[tuple[bool, str]]:
    """The figures against each other."""
    figures = content.statistics

    def take(*names: str) -> list[float] | None:
        found = [_number(figures, name) for name in names]
        return None if None in found else [value for value in found if value is not None]

    for whole, parts in (
        ("total_net_profit", ("gross_profit", "gross_loss")),
        ("total_trades", ("short_trades", "long_trades")),
        ("total_trades", ("profit_trades", "loss_trades")),
    ):
        if found := take(whole, *parts):
            yield _same(f"The sum of {parts[0]} and {parts[1]}", found[1] + found[2], whole, found[0], _CENT)
    if (found := take("profit_factor", "gross_profit", "gross_loss")) and found[2] < 0:
        yield _same("The gross profit by the gross loss", -found[1] / found[2], "profit_factor", found[0], _ROUNDED)
    if (found := take("expected_payoff", "total_net_profit", "total_trades")) and found[2] > 0:
        yield _same("The profit of a trade", found[1] / found[2], "expected_payoff", found[0], _ROUNDED)


def _pass_checks(passes: pd.DataFrame | None) -> Iterator[tuple[bool, str]]:
    """Of every pass of an optimisation: its profit is the expected payoff times the trades."""
    if passes is None or passes.empty or not {"profit", "expected_payoff", "trades"} <= set(passes.columns):
        return
    profit, payoff, trades = (
        passes[name].to_numpy(dtype="float64") for name in ("profit", "expected_payoff", "trades")
    )
    wrong = ~(np.abs(payoff * trades - profit) <= _CENT + 1e-6 * np.abs(trades))
    at = int(np.argmax(wrong))
    yield (
        not wrong.any(),
        f"{wrong.sum()} passes have a profit that is not their expected payoff times their trades; the first is "
        f"pass {passes['pass'].iloc[at]:g}.",
    )


def _number(figures: dict[str, float | str], name: str) -> float | None:
    found = figures.get(name)
    return float(found) if isinstance(found, (int, float)) else None


def _same(what: str, found: float, other: str, said: float, tolerance: float) -> tuple[bool, str]:
    return abs(found - said) <= tolerance, f"{what}: {found:.2f}, but {other}: {said:.2f}."
