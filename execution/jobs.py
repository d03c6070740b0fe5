"""The jobs of the execution floor, each run in a process of its own: sweeps, and runs too long for a page.

    JOBS.submit("backtest", "sweep", sweep_arguments("MA_Crossover", {"fast_length": [10, 20]}, data=version), title)

A sweep keeps its trials part by part; begun again after a kill, a stop or a retry it goes on with the sets that are
not stored yet. A job names its dataset by content, and a strategy of the folder by name: code does not travel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.errors import InputError, SequenceError
from core.jobs import JobQueue, RunningJob
from core.plain import plain
from core.store import Store
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from execution import tables
from execution.costs import Costs

queue = JobQueue("backtest", Store(tables.BACKTEST_RESULTS), tables.jobs)


def sweep_arguments(strategy: str, grid: Mapping[str, Any], *, data: DatasetVersion, **terms: Any) -> dict[str, Any]:
    """What a job of the kind `sweep` is asked; `terms` are those of `manager.sweep`.

    The sweep is planned once, so that what cannot be done is refused before it is queued; a random draw gets its
    seed here. Raises BarsError, StrategyError or InputError.
    """
    from execution.sweep_plan import plan_sweep

    if not isinstance(strategy, str):
        raise InputError(
            f"strategy={strategy!r} cannot be given to a job.",
            "Name a strategy of the folder execution/strategies/; sweep a class with manager.sweep from Python.",
        )
    plan = plan_sweep(strategy, grid, data=data, **terms)
    asked = {name: value for name, value in terms.items() if value is not None}
    return {
        "strategy": strategy,
        "grid": plan.config["grid"],
        **_portable(data, {**asked, "symbol": plan.settings.symbol, "seed": plan.config["seed"]}),
    }


def sweep_title(arguments: Mapping[str, Any]) -> str:
    """`Sweep MA_Crossover on EURUSD: fast_length, slow_length`."""
    return f"Sweep {arguments['strategy']} on {arguments['symbol']}: {', '.join(arguments['grid'])}"


def backtest_arguments(strategy_name: str, *, data: DatasetVersion, **terms: Any) -> dict[str, Any]:
    """What a job of the kind `backtest` is asked; `terms` are those of `manager.run_backtest`, and `run_id`."""
    return {"strategy_name": strategy_name, **_portable(data, terms)}


def backtest_title(arguments: Mapping[str, Any]) -> str:
    """`Backtest MA_Crossover on EURUSD`."""
    symbol = f" on {arguments['symbol']}" if arguments.get("symbol") else ""
    return f"Backtest {arguments['strategy_name']}{symbol}"


def sweep(job: RunningJob) -> None:
    """Sweep; each part and the job's checkpoint, and the sweep's end and the job's success, are one transaction."""
    from execution import sweep_store
    from execution.sweep import Sweep, enter_sweep_of, store_sweep
    from execution.sweep_plan import plan_sweep

    job.tell(0.0, "reading the bars and preparing the engine")
    plan = plan_sweep(**_asked(job.arguments))
    if "sweep" not in job.checkpoint:
        enter_sweep_of(plan, job.id, lambda connection, key: job.note(connection, sweep=key))
    key = int(job.checkpoint["sweep"])
    sweep_store.resume_sweep(key)

    def ended(connection: Any, found: Sweep) -> None:
        best = plain({name: found.best[name] for name in found.grid.names})
        sharpe = plain(float(found.best["sharpe_ratio"]))
        figure = "" if sharpe is None else f", Sharpe ratio {sharpe:.2f}"
        words = ", ".join(f"{name}={value}" for name, value in best.items())
        job.succeed(connection, {"sweep": key, "best": best}, f"{len(found.table):,} sets; best {words}{figure}")

    try:
        store_sweep(plan, key, job.tell, job.note, ended)
    except SequenceError:
        sweep_store.fail_sweep(key)
        raise


def backtest(job: RunningJob) -> None:
    """Run a backtest and save it. Begun again after a kill it gives the run that is stored, if it was."""
    from execution.backtest_manager import manager

    asked = _asked(job.arguments)
    run_id = asked.pop("run_id", None)
    job.tell(0.0, "running")
    result = manager.run_backtest(**asked)
    job.tell(0.8, "saving")
    run = manager.save_result(run_id, result=result)
    words = f"{run.trades_count:,} trades, {run.total_return or 0:+.2f} % after costs"
    job.succeed_alone({"run": run.run_id}, words)


def _portable(data: DatasetVersion, terms: Mapping[str, Any]) -> dict[str, Any]:
    """Terms as JSON keeps them. Raises InputError for what has no place there."""
    commission = terms.get("commission", 0.0)
    if callable(commission):
        raise InputError(
            "A commission that is a function cannot be given to a job.",
            "Give a fraction, a pair (money, fraction), or Costs with a commission per lot.",
        )
    conversions = terms.get("conversions") or {}
    frames = [name for name, given in conversions.items() if not isinstance(given, DatasetVersion)]
    if frames:
        raise InputError(f"The conversion series {frames[0]} is a frame.", "Give a dataset version of it to a job.")
    costs = terms.get("costs")
    portable: dict[str, Any] = plain(
        {
            **terms,
            "data": data.content_hash,
            "costs": None if costs is None else costs.as_dict(),
            "conversions": {name: given.content_hash for name, given in conversions.items()},
        }
    )
    return portable


def _asked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The terms again, as the door takes them."""
    asked = {name: value for name, value in arguments.items() if value is not None}
    if isinstance(asked.get("commission"), list):
        asked["commission"] = tuple(asked["commission"])
    if "costs" in asked:
        asked["costs"] = Costs.from_dict(asked["costs"])
    conversions = asked.pop("conversions", {})
    return {
        **asked,
        "data": controller.version(asked["data"]),
        "conversions": {name: controller.version(content) for name, content in conversions.items()} or None,
    }
