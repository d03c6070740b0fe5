"""The door of live trading: deploy what was researched, watch it, stop it, hold its days against a backtest.

    from execution.trading_desk import desk

    deployment = desk.deploy_run("backtest_001", client="mt5-5012345")
    desk.decisions(deployment.id)        # newest first, each with its reason
    desk.kill("me", "news")              # no more entries, anywhere

A deployment trades a demo account. A real one is refused unless three switches are set (docs/live-guards.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.clock import utc_now
from core.errors import InputError, UnknownNameError
from core.kill_switch import is_killed
from core.log import get_logger
from execution.backtest_manager import manager
from execution.live import black_box, switch
from execution.live.book import nearest_terminal, read_book, terminal_of
from execution.live.circumstances import known_now
from execution.live.decisions import Decision, list_decisions
from execution.live.deployments import (
    PAUSED,
    RUNNING,
    STOPPED,
    Deployment,
    change_deployment,
    enter_deployment,
    find_deployment,
    list_deployments,
    set_state,
)
from execution.live.guards import Verdict, judge
from execution.live.jobs import queue
from execution.live.real import SWITCHES, account_of, real_switches
from execution.live.terms import Limits, Sizing
from execution.live.wish import PREDICTION
from execution.registry import strategy_named
from market.symbols import canonical_symbol
from market.timeframes import parse_timeframe
from mql5.bridge.messages import NewSignal, SignalType
from mql5.bridge.signals import SignalStore

if TYPE_CHECKING:
    import pandas as pd

    from execution.live.reconcile import Reconciliation

__all__ = ["TradingDesk", "desk"]


class TradingDesk:
    """Deployments, their decisions, the kill switch, and the reconciliation of their days."""

    def deploy_run(
        self,
        run_id: str,
        *,
        client: str,
        name: str | None = None,
        symbol: str | None = None,
        sizing: Sizing | None = None,
        limits: Limits | None = None,
        real_confirmation: str | None = None,
    ) -> Deployment:
        """Put the strategy of a stored run to work on the live bars of a terminal.

        Without `sizing` the run's own rule in lots is taken, where it has one. Raises UnknownNameError for a run or
        a terminal that is not there, InputError with the reason for what cannot trade live.
        """
        run = manager.run(run_id)
        if run.strategy_version is None:
            raise InputError(
                f"{run.strategy_name} is a class given from Python, which no other process can make again.",
                "Put it into execution/strategies as a Strategy, backtest it, and deploy that run.",
            )
        return self._deploy(
            origin="run",
            origin_id=run.run_id,
            strategy_name=run.strategy_name,
            parameters=run.settings["parameters"],
            symbol=symbol or run.symbol,
            timeframe=run.timeframe,
            dataset_hash=run.dataset_hash,
            client=client,
            name=name,
            sizing=sizing or _sizing_of(run.run_settings.costs),
            limits=limits,
            real_confirmation=real_confirmation,
        )

    def deploy_model(
        self,
        model: int | str,
        *,
        client: str,
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
        symbol: str | None = None,
        sizing: Sizing | None = None,
        limits: Limits | None = None,
        real_confirmation: str | None = None,
    ) -> Deployment:
        """Put a champion model to work; `parameters` are the thresholds of the strategy Predictions.

        Raises UnknownNameError, ModelError for a model that is too old or damaged, InputError for one that is no
        champion.
        """
        from train.registry import Stage, find_model, serving

        found = find_model(model)
        if found.stage is not Stage.CHAMPION:
            raise InputError(f"{found.label} is no champion.", "Promote it first: what trades was chosen on purpose.")
        serving(found)
        return self._deploy(
            origin="model",
            origin_id=str(found.id),
            strategy_name="Predictions",
            parameters={**(parameters or {}), "column": PREDICTION},
            model_id=found.id,
            symbol=symbol or found.symbol,
            timeframe=found.timeframe,
            dataset_hash=found.dataset_hash,
            client=client,
            name=name,
            sizing=sizing,
            limits=limits,
            real_confirmation=real_confirmation,
        )

    def deploy_setups(
        self,
        symbol: str,
        timeframe: str,
        *,
        client: str,
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
        sizing: Sizing | None = None,
        limits: Limits | None = None,
        real_confirmation: str | None = None,
    ) -> Deployment:
        """Put a definition of setups to work: the parameters of the strategy SMC_Confluence. Raises StrategyError."""
        return self._deploy(
            origin="setup",
            origin_id=f"{canonical_symbol(symbol)} {parse_timeframe(timeframe)}",
            strategy_name="SMC_Confluence",
            parameters=dict(parameters or {}),
            symbol=symbol,
            timeframe=timeframe,
            client=client,
            name=name,
            sizing=sizing,
            limits=limits,
            real_confirmation=real_confirmation,
        )

    def deployments(self, *, only_open: bool = False) -> list[Deployment]:
        """The deployments, newest first."""
        return list_deployments([RUNNING, PAUSED] if only_open else None)

    def deployment(self, reference: int | str) -> Deployment:
        """The deployment of that id or name. Raises UnknownNameError."""
        return find_deployment(reference)

    def pause(self, deployment_id: int) -> Deployment:
        """Send no more entries; decisions and exits go on."""
        return set_state(deployment_id, PAUSED, "paused: exits only")

    def resume(self, deployment_id: int) -> Deployment:
        """Send entries again, in a new process where the old one has ended. Raises InputError for a stopped one."""
        found = set_state(deployment_id, RUNNING, "goes on")
        return _with_job(found) if found.job_id is None or self.has_failed(found) else found

    def has_failed(self, deployment: Deployment) -> bool:
        """Whether its job has ended though it was not stopped; `resume` begins another."""
        return deployment.is_open and deployment.job_id is not None and not queue.job(deployment.job_id).is_open

    def stop(self, deployment_id: int, *, close: bool = False) -> Deployment:
        """End a deployment for good; with `close` the terminal is asked to close what it holds."""
        found = find_deployment(deployment_id)
        if found.state != STOPPED:
            book = read_book(found, terminal_of(found.client))
            if close and (book.held or book.moving):
                self._close(found)
            words = "stopped, its position is being closed" if close and book.held else "stopped"
            found = set_state(deployment_id, STOPPED, words)
            if found.job_id is not None and not found.is_alive:
                queue.cancel(found.job_id)
            get_logger(__name__).info("stopped a deployment", deployment=found.name, close=close)
        return found

    def decisions(self, deployment_id: int | None = None, limit: int | None = 200) -> list[Decision]:
        """Decisions, newest first."""
        return list_decisions(deployment_id, limit=limit)

    def headroom(self, deployment: Deployment) -> list[Verdict]:
        """What each guard would say now, and how much of its limit is left."""
        book = read_book(deployment, terminal_of(deployment.client))
        known = known_now(deployment, in_flight=len(book.moving), records_agree=book.agrees)
        return judge(None, deployment.limits, known)

    def kill(self, by: str, reason: str, *, close_positions: bool = False) -> switch.Killed:
        """Stop all entries at once; with `close_positions` the terminals are asked to close what is open."""
        return switch.kill(by, reason, close_positions=close_positions)

    def is_killed(self) -> bool:
        """Whether entries are stopped; also where that cannot be found out."""
        return is_killed()

    def ask_to_arm(self, by: str) -> str:
        """First step of re-arming: a code for the second. Raises InputError when nothing is stopped."""
        return switch.ask_to_arm(by)

    def arm(self, by: str, code: str) -> None:
        """Second step: entries may be sent again. Raises InputError for a wrong code or one that is too old."""
        switch.arm(by, code)

    def switch_history(self, limit: int = 50) -> list[dict[str, Any]]:
        """Who stopped and armed trading, newest first."""
        return switch.history(limit)

    def reconcile(self, deployment: Deployment | int, day: str | None = None) -> Reconciliation:
        """A trading day (default: the present one) held against a backtest of the same bars; it is kept."""
        from execution.live.parity import reconcile_day

        found = find_deployment(deployment) if isinstance(deployment, int) else deployment
        return reconcile_day(found, day)

    def parity(self, deployment: Deployment | int) -> pd.DataFrame:
        """The kept days of a deployment: score, differences and cost in pips, by day."""
        from execution.live.parity import parity_of

        return parity_of(find_deployment(deployment) if isinstance(deployment, int) else deployment)

    def decide_again(self, decision_id: int) -> black_box.Again:
        """A decision made again from what was recorded of it. Raises UnknownNameError."""
        return black_box.decide_again(decision_id)

    def _deploy(
        self,
        *,
        strategy_name: str,
        parameters: Mapping[str, Any],
        symbol: str,
        timeframe: str,
        client: str,
        name: str | None,
        sizing: Sizing | None,
        limits: Limits | None,
        real_confirmation: str | None,
        **origin: Any,
    ) -> Deployment:
        strategy = strategy_named(strategy_name)
        limits, canonical = limits or Limits(), canonical_symbol(symbol)
        entered = enter_deployment(
            **{"model_id": None, "dataset_hash": None, **origin},
            name=name or f"{strategy.name}-{canonical}-{parse_timeframe(timeframe)}-{utc_now():%Y%m%d-%H%M%S}",
            strategy_name=strategy.name,
            strategy_version=strategy.version,
            parameters=strategy.values(parameters),
            symbol=canonical,
            timeframe=str(parse_timeframe(timeframe)),
            client=_checked_terminal(client, limits, real_confirmation),
            sizing=sizing or Sizing(),
            limits=limits,
            real_confirmation=real_confirmation,
        )
        get_logger(__name__).info("deployed", deployment=entered.name, strategy=strategy.name, client=entered.client)
        return _with_job(entered)

    def _close(self, deployment: Deployment) -> None:
        asked = NewSignal(
            symbol=deployment.symbol,
            signal_type=SignalType.CLOSE,
            comment=f"{deployment.name} was stopped",
            strategy_name=deployment.strategy_name,
            idempotency_key=f"d{deployment.id}-stop",
            target=deployment.client,
        )
        SignalStore().create(asked)


def _checked_terminal(client: str, limits: Limits, confirmation: str | None) -> str:
    """The terminal's name. Raises UnknownNameError, and InputError for a real account whose switches are not set."""
    row = terminal_of(client)
    if row is None:
        raise UnknownNameError(f"No terminal {client!r} was ever heard.", nearest_terminal(client))
    if account_of(row["trade_mode"]) == "real":
        missing = [name for name in SWITCHES if name not in real_switches(confirmation, row["login"])]
        if limits.account != "real" or missing:
            raise InputError(
                f"{client} trades a real account ({row['login']} at {row['server']}).",
                "Attach the Expert Advisor to a demo account. Real money needs limits.account='real' and the switches "
                f"that are not set: {', '.join(missing) or 'none'} (docs/live-guards.md).",
            )
    return client


def _sizing_of(costs: Any) -> Sizing | None:
    """The rule of a run that was sized in lots or by risk; None for one that was not."""
    if costs is None or (costs.lots is None and costs.risk_fraction is None):
        return None
    return Sizing(lots=costs.lots, risk_fraction=costs.risk_fraction, stop_pips=costs.stop_pips)


def _with_job(deployment: Deployment) -> Deployment:
    """The deployment with a job queued for it."""
    job = queue.submit("deployment", {"deployment_id": deployment.id}, f"Trade {deployment.name}")
    if job is None:
        raise InputError(f"{deployment.name} could not be queued.", "Try again.")
    change_deployment(deployment.id, job_id=job.id)
    return find_deployment(deployment.id)


desk = TradingDesk()
