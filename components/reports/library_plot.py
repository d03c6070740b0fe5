"""backtesting.py's own plot of a run as one HTML file that needs no network.

The library writes a page that loads bokeh from a CDN, and adds a frame from its author's site that counts readers. Here
bokeh stands in the file, the frame is left out, and a content security policy lets the browser load nothing else.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd

from core.errors import InputError
from execution.library_engine import library_bars, one_at_a_time, run_library_class, run_own
from execution.result import RunSettings
from execution.strategy import Strategy

if TYPE_CHECKING:
    from backtesting import Strategy as LibraryStrategy

# Bokeh makes functions of text that stands in the file.
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "base-uri 'none'; form-action 'none'\">"
)


def library_plot(bars: pd.DataFrame, strategy: type[LibraryStrategy] | Strategy, settings: RunSettings) -> str:
    """Run `strategy` on backtesting.py once more and draw it as the library does; nothing is left on disk.

    Raises InputError for a run with FX extras, which the library does not know, and StrategyError when it stops.
    """
    if settings.costs is not None:
        raise InputError(
            "backtesting.py knows no FX extras, so it cannot draw a run that has them.", "Take the tear sheet."
        )
    if isinstance(strategy, Strategy):
        run = run_own(bars, strategy, settings)
    else:
        run = run_library_class(bars, strategy, settings)
    return _drawn(bars, run.figures, f"{settings.strategy_name} on {settings.symbol} {settings.timeframe}")


def _drawn(bars: pd.DataFrame, figures: dict[str, Any], title: str) -> str:
    from backtesting import Backtest
    from bokeh.embed import file_html
    from bokeh.io import reset_output
    from bokeh.resources import INLINE

    # Bokeh keeps one current document for all threads, and the library writes its page before it returns the plot.
    with one_at_a_time, warnings.catch_warnings(), TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        plot = Backtest(library_bars(bars), type(figures["_strategy"])).plot(
            results=pd.Series(figures), filename=str(Path(folder) / "plot.html"), open_browser=False
        )
        plot.document.clear()
        reset_output()  # the frame hangs on the current document, which every new one copies
        page: str = file_html(plot, INLINE, title)
    return page.replace("<head>", f"<head>\n    {_POLICY}", 1)
