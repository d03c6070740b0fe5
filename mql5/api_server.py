"""The MetaTrader bridge: `python mql5/api_server.py`, or `python -m mql5.api_server`; 127.0.0.1:5000 by default.

    create_app()      # the Flask application, for a server of your own or a test client

Documentation of the interface stands at /api/v1/docs while it runs; settings are in the section `bridge`.
"""

from __future__ import annotations

import ipaddress
import logging
import signal
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

if not __package__:  # started as a file, which puts mql5/ on the path and not the folder above it
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from core.clock import REPLAY_VARIABLE, is_replayed, now_ms, utc_text
from core.errors import SequenceError, SettingsError
from core.settings import BridgeSettings, current_settings

EXIT_OK, EXIT_USAGE = 0, 2
DAY_MS = 86_400_000


def create_app(*, upkeep: bool = False) -> Any:
    """A bridge as a Flask application, its writer running; with `upkeep` also expiry, live bars and retention.

    `app.extensions["bridge"].close()` writes what waits and ends its threads. Raises what the key's
    file, the settings and the database may raise.
    """
    from mql5.bridge.app import bridge_of, build_app

    app = build_app(current_settings().bridge, _our_runs)
    bridge = bridge_of(app)
    bridge.keys.prepare()
    if upkeep:
        _add_upkeep(bridge)
        bridge.upkeep.start()
    return app


def main() -> int:
    """Serve until interrupted; the exit status is 2, with one line, when it cannot begin."""
    from core.log import configure_logging

    try:
        settings = current_settings().bridge
        configure_logging("bridge")
        _refuse_exposure(settings)
        _stay_on_one_core(settings)
        app = create_app(upkeep=True)
    except SequenceError as error:
        return _refuse(str(error))
    return _serve(app, settings)


def _serve(app: Any, settings: BridgeSettings) -> int:
    from waitress.server import create_server

    from mql5.bridge.keys import KEY_VARIABLE, key_file

    bridge = app.extensions["bridge"]
    # It warns of each request that waits for a thread, thousands a second under load.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    try:
        server = create_server(
            app,
            host=settings.host,
            port=settings.port,
            threads=settings.threads,
            ident="",
            connection_limit=1_000,
            channel_timeout=120,
            max_request_body_size=int(settings.max_body_mib * 2**20) + 1,
            asyncore_use_poll=sys.platform != "win32",
            clear_untrusted_proxy_headers=True,
        )
    except OSError as error:
        bridge.close()
        return _refuse(
            f"Port {settings.port} on {settings.host} cannot be used ({error.strerror or error}). Close the program "
            f"that has it, or choose another: SEQUENCE_BRIDGE_PORT={settings.port + 1}"
        )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    place = key_file() if key_file().exists() else f"the variable {KEY_VARIABLE}"
    replay = f"; a replay: {REPLAY_VARIABLE} sets the clock to {utc_text()}" if is_replayed() else ""
    print(  # noqa: T201  # the command line speaks on the terminal
        f"Sequence bridge: http://{settings.host}:{settings.port}/api/v1/docs  (key: {place}; Ctrl-C stops it){replay}",
        flush=True,
    )
    try:
        with suppress(KeyboardInterrupt):
            server.run()
    finally:
        server.close()
        server.task_dispatcher.shutdown(cancel_pending=True, timeout=5)
        bridge.close()
    return EXIT_OK


def _add_upkeep(bridge: Any) -> None:
    from core.heartbeats import Heart
    from data.live_bars import LiveBars
    from mql5.bridge.watch import WatchedFolder

    settings: BridgeSettings = bridge.settings
    heart = Heart("bridge")
    bridge.upkeep.add("heartbeat", 3, lambda: heart.beat(f"listens on {settings.host}:{settings.port}"))
    bridge.upkeep.add("signals", 1, bridge.signals.expire)
    bridge.upkeep.add("live_bars", 1, LiveBars(bridge.ticks).step)
    bridge.upkeep.add("keys", 10, bridge.keys.note_use)
    bridge.upkeep.add("retention", 60, lambda: _retain(bridge))
    if settings.watched_folder:
        folder = WatchedFolder(Path(settings.watched_folder).expanduser(), bridge.imports)
        bridge.upkeep.add("watched_folder", 5, folder.look)
    bridge.upkeep.at_end.append(heart.end)


def _retain(bridge: Any) -> None:
    """Delete and thin what the settings say, for a second at most: ticks come between."""
    settings: BridgeSettings = bridge.settings
    now, until = now_ms(), time.monotonic() + 1
    for days, drop in (
        (settings.keep_ticks_days, bridge.ticks.drop_before),
        (settings.thin_ticks_days, bridge.ticks.thin_before),
    ):
        before = now - int(timedelta(days=days).total_seconds() * 1000)
        while days and time.monotonic() < until and drop(before):
            pass


def _our_runs(symbol: str, limit: int) -> list[dict[str, Any]]:
    """Our newest backtests of a symbol, with the figures that MetaTrader's are held against."""
    from execution.backtest_manager import manager

    figures = ("total_return", "sharpe_ratio", "win_rate", "max_drawdown", "trades_count")
    runs = [run for run in manager.runs() if run.symbol == symbol][:limit]
    return [
        {
            "run_id": run.run_id,
            "created_at": run.created_at,
            "strategy_name": run.strategy_name,
            "timeframe": str(run.timeframe),
            "start_date": run.start_date,
            "end_date": run.end_date,
            **{name: getattr(run, name) for name in figures},
        }
        for run in runs
    ]


def _refuse_exposure(settings: BridgeSettings) -> None:
    """Raises SettingsError for an address that other machines reach, unless the settings say who encrypts."""
    try:
        is_loopback = settings.host == "localhost" or ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback and not settings.behind_tls:
        raise SettingsError(
            f"bridge.host={settings.host!r} lets other machines in, and keys would cross the network in the clear.",
            "Put a proxy with TLS before the bridge and set bridge.behind_tls to true, or listen on 127.0.0.1.",
        )


def _stay_on_one_core(settings: BridgeSettings) -> None:
    if settings.one_core:
        import psutil

        process = psutil.Process()
        if hasattr(process, "cpu_affinity"):  # macOS cannot
            process.cpu_affinity(process.cpu_affinity()[-1:])


def _refuse(line: str) -> int:
    print(line, file=sys.stderr)  # noqa: T201
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
