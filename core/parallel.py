"""The one seam for work on many processors: `run_all` on this machine's processes, or on a Dask scheduler's workers.

    for number, result in run_all(square, [1, 2, 3], describe=str):

With `parallel.scheduler` empty the items run in processes of this machine (joblib's loky), else on the workers that
the scheduler at that address has; those need the same Sequence installed. Killed workers lose nothing: what they
had not answered is done again, and each result comes once.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from core.errors import InterventionError, SequenceError, SettingsError, TryAgainError
from core.settings import current_settings

Item = TypeVar("Item")
Result = TypeVar("Result")

# An item whose worker was killed so often is given up: it is likely what kills them.
_ATTEMPTS = 3
_CONNECT_SECONDS = 10.0


def run_all(
    function: Callable[..., Result],
    items: Sequence[Item],
    *,
    shared: Any = None,
    describe: Callable[[Item], str] = str,
) -> Iterator[tuple[int, Result]]:
    """`function(shared, item)` for each item; (place of the item, result) as they are done, in no order.

    `shared` is sent to each worker once rather than with each item. `function`, `shared` and the items must be
    picklable. Raises what `function` raises when that is an error of ours, InterventionError naming the item (through
    `describe`) for any other, and TryAgainError when the workers are killed again and again.
    """
    scheduler = current_settings().parallel.scheduler
    if not items:
        return iter(())
    if scheduler:
        return _on_scheduler(scheduler, function, items, shared, describe)
    return _on_this_machine(function, items, shared, describe)


def workers() -> int:
    """How many processes of this machine work at once: `parallel.workers`, or as many as it has processors."""
    return current_settings().parallel.workers or os.cpu_count() or 1


def is_distributed() -> bool:
    """Whether work goes to the workers of a scheduler."""
    return bool(current_settings().parallel.scheduler)


def _on_this_machine(
    function: Callable[..., Result], items: Sequence[Item], shared: Any, describe: Callable[[Item], str]
) -> Iterator[tuple[int, Result]]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    left = set(range(len(items)))
    for attempt in range(1, _ATTEMPTS + 1):
        numbers = sorted(left)
        results = Parallel(n_jobs=workers(), return_as="generator_unordered")(
            delayed(_answered)(function, shared, number, items[number]) for number in numbers
        )
        try:
            for number, result, failure in results:
                left.discard(number)
                yield number, _checked(result, failure, describe(items[number]))
        except TerminatedWorkerError as error:
            if attempt == _ATTEMPTS:
                raise TryAgainError(
                    f"Processes were killed {attempt} times; {len(left)} of {len(items)} parts are not done.",
                    "Look for what kills them (memory?), lower parallel.workers, then try again.",
                ) from error
        else:
            return
        finally:
            _leave(results)


def _leave(results: Any) -> None:
    """Ends a joblib generator here and now. Left to the garbage collector it would warn in whoever runs then."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"joblib\.parallel")
        results.close()


def _on_scheduler(
    address: str, function: Callable[..., Result], items: Sequence[Item], shared: Any, describe: Callable[[Item], str]
) -> Iterator[tuple[int, Result]]:
    try:
        import dask
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise SettingsError(
            f"parallel.scheduler={address!r} needs the package distributed, which is not installed.",
            'Install it with pip install "sequence-workbench[distributed]", or leave the setting empty.',
        ) from error
    # The shared part travels as a task of its own, so that it can be made again when the workers that had it are gone.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "2 GiB"}):
        try:
            client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise TryAgainError(
                f"No scheduler answers at parallel.scheduler={address!r} ({error}).",
                "Start it (dask scheduler), or correct the setting.",
            ) from error
        with client:
            spread = client.submit(_itself, shared, pure=False)
            futures = {
                client.submit(_answered, function, spread, number, item, pure=False): number
                for number, item in enumerate(items)
            }
            for future in as_completed(list(futures), loop=client.loop):
                number = futures[future]
                try:
                    _, result, failure = future.result()
                except KilledWorker as error:
                    raise TryAgainError(
                        f"{describe(items[number])}: the workers that tried it were killed.",
                        "Look for what kills them (memory?), then try again.",
                    ) from error
                future.release()  # its result need not be kept by a worker any more
                yield number, _checked(result, failure, describe(items[number]))


def _itself(shared: Any) -> Any:
    return shared


def _answered(
    function: Callable[..., Result], shared: Any, number: int, item: Any
) -> tuple[int, Result | None, Exception | str | None]:
    """The item's number with its result, or with what went wrong: foreign errors may not be picklable."""
    try:
        return number, function(shared, item), None
    except SequenceError as error:
        return number, None, error
    except Exception as error:  # whatever the caller's function raises is told by the caller, with the item
        return number, None, f"{type(error).__name__}: {error}"


def _checked(result: Any, failure: Exception | str | None, described: str) -> Any:
    if isinstance(failure, SequenceError):
        raise failure
    if failure is not None:
        raise InterventionError(f"{described} stopped with {failure}.", "Correct what it runs, then try again.")
    return result
