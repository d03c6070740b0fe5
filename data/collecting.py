"""What a collection fetches: files and the sample at once, live sources slice by slice through the store of bars.

Whatever a live source has answered is kept as it comes. A collection that is made again, or begun again after
a kill, asks only for what is missing: in front, behind, and where an answer failed. Where files of HistData's are
given, they are entered there instead of asking HistData.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from core.errors import DataRequestError, SequenceError
from core.store import Store
from data import tables
from data.bar_days import cut_words, foreign_cut
from data.bar_store import BarStore
from data.config import DataConfig, file_request
from data.news import collect_news
from data.sources.base import LiveSource, is_live, is_news, live_source, source_named
from data.sources.histdata_import import SOURCE as FILES_OF
from data.sources.histdata_import import enter_files
from data.sources.network import SourceUnavailableError
from market.timeframes import Timeframe

Tell = Callable[[str, float], None]
bar_store = BarStore()


@dataclass(frozen=True)
class Collected:
    """A long frame of raw bars with `symbol` and `source`, and what a reader should know of it.

    `problems` say what could not be had, and from whom; `day_cut` where a vendor ends its days, when that is not
    where the market's own end.
    """

    frame: pd.DataFrame
    timeframe: Timeframe
    attribution: str
    problems: list[str]
    day_cut: str | None


def collect(config: DataConfig, tell: Tell) -> Collected:
    """Fetch what `config` asks for; `tell(words, done)` hears how far it is.

    Where several sources have a bar, the one named first wins, and the others fill. What the caller can mend is
    refused before anything is fetched; where a server fails, what the others gave is returned with its reason.

    Raises DataRequestError, or the first failure when nothing at all could be had.
    """
    of_bars = [name for name in config.data_sources if not is_news(name)]
    of_news = [name for name in config.data_sources if is_news(name)]
    timeframe = refuse_unreachable(config)
    collection = _Collection(config, timeframe)
    asked = [(name, symbol) for symbol in config.symbols for name in of_bars]
    steps = len(asked) + len(of_news) + config.reads_histdata_files
    if config.reads_histdata_files:
        collection.enter_files(_part(tell, 0, 1 / steps))
    for step, (name, symbol) in enumerate(asked, start=config.reads_histdata_files):
        collection.add_bars(name, symbol, _part(tell, step / steps, 1 / steps))
    if not collection.parts:
        raise collection.failures[0]
    if of_news:
        collection.add_news(_part(tell, 1 - 1 / steps, 1 / steps))
    return Collected(
        pd.concat([_together(parts) for parts in collection.parts.values()]),
        collection.timeframe,
        "; ".join(dict.fromkeys(filter(None, collection.attributions))),
        collection.problems,
        "; ".join(dict.fromkeys(filter(None, collection.cuts.values()))) or None,
    )


def refuse_unreachable(config: DataConfig) -> Timeframe:
    """The timeframe that `config` collects; raises DataRequestError for what can never be had, without any network.

    A range that reaches too far back is refused only where its beginning was not answered before: what is kept up
    to date goes on when its beginning is out of the vendor's reach.
    """
    of_bars = [name for name in config.data_sources if not is_news(name)]
    if not of_bars:
        raise DataRequestError(
            f"{', '.join(config.data_sources)} gives news, no bars.", "Name a source of bars beside it: YFinance, say."
        )
    timeframe = config.wanted_timeframe or _own_timeframe(of_bars, config)
    for symbol in config.symbols:
        for live in (live_source(name) for name in of_bars if is_live(name)):
            within = (config.start, config.end)
            if not (config.reads_histdata_files and live.name == FILES_OF) and within[0] < within[1]:
                missing = bar_store.missing(symbol, live.timeframe_for(timeframe), live.name, *within)
                if not missing or missing[0][0] > config.start:
                    continue
            live.check(symbol, timeframe, *within)
    return timeframe


@dataclass
class _Collection:
    """What has come together so far: bars by symbol, the first source's first; what failed; where days end.

    `files` are the ranges that HistData's files hold, by symbol.
    """

    config: DataConfig
    timeframe: Timeframe
    files: dict[str, tuple[pd.Timestamp, pd.Timestamp]] = field(default_factory=dict)
    parts: dict[str, list[pd.DataFrame]] = field(default_factory=dict)
    attributions: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    failures: list[SequenceError] = field(default_factory=list)
    cuts: dict[str, str | None] = field(default_factory=dict)

    def enter_files(self, tell: Tell) -> None:
        """Enter HistData's files into the store, or say why one cannot be used."""
        entered = enter_files(bar_store, self.config.files, self.config.symbols, tell)
        self.files = entered.ranges
        for path, error in entered.failures.items():
            self._failed(FILES_OF if path.name in error.what else f"{FILES_OF}, {path.name}", error)

    def add_bars(self, name: str, symbol: str, tell: Tell) -> None:
        """The bars of one symbol from one source, or why there are none."""
        start, end = self.config.start, self.config.end
        if is_live(name):
            live = live_source(name)
            if self.config.reads_histdata_files and live.name == FILES_OF:
                if symbol not in self.files:
                    gone = DataRequestError(f"No file gave bars of {symbol}.", "Download them again.")
                    self._failed(f"{FILES_OF}, {symbol}", gone)
                    return
                start, end = max(start, self.files[symbol][0]), min(end, self.files[symbol][1])
            else:
                self._ask_for_missing(live, symbol, (start, end), tell)
            bars = bar_store.bars(symbol, self.timeframe, start, end, sources=[live.name])
            name, attribution = live.name, live.attribution
            cut = foreign_cut(symbol, self.timeframe, live.day_cut(symbol))
        else:
            source = source_named(name, file_request(self.config, symbol))
            bars = source.fetch(symbol, self.timeframe, start, end)
            name, attribution, cut = source.name, source.offer().attribution, None
        if bars.empty:
            if not self.failures:
                nothing = f"{name} has no {self.timeframe} bars of {symbol} in this range."
                self._failed(f"{name}, {symbol}", DataRequestError(nothing, "Widen the range, or ask another source."))
            return
        self._refuse_other_days(symbol, name, None if cut is None else cut_words(symbol, cut))
        self.attributions.append(attribution)
        self.parts.setdefault(symbol, []).append(bars.assign(symbol=symbol, source=name))

    def add_news(self, tell: Tell) -> None:
        """Tone and articles on the currencies of the symbols; what fails leaves the bars as they are."""
        from data.sources.gdelt import ATTRIBUTION, currencies_of  # requests and gdeltdoc: no page should pay for them

        currencies = currencies_of(self.config.symbols)
        if not currencies:
            self.problems.append(f"GDELT: none of {', '.join(self.config.symbols)} has currencies to read about.")
            return
        outcome = collect_news(
            Store(tables.DATA_PIPELINE),
            currencies,
            self.config.countries,
            self.config.start,
            self.config.end,
            tell=lambda step, words: tell(f"{step}: {words}", 0.5),
        )
        self.attributions.append(ATTRIBUTION)
        self.problems += [f"GDELT, {failure}" for failure in outcome.failed]
        if outcome.capped_windows:
            self.problems.append(
                f"GDELT: {outcome.capped_windows} windows of 15 minutes have more articles than it gives in one answer."
            )

    def _ask_for_missing(
        self, live: LiveSource, symbol: str, within: tuple[pd.Timestamp, pd.Timestamp], tell: Tell
    ) -> None:
        """Ask for what of a range the store was not answered yet; each answer is kept before the next question."""
        timeframe = live.timeframe_for(self.timeframe)
        missing = bar_store.missing(symbol, timeframe, live.name, *within)
        whole = sum((end - start for start, end in missing), pd.Timedelta(0))
        done, cut = pd.Timedelta(0), live.day_cut(symbol)
        try:
            for start, end in missing:
                for answer in live.slices(symbol, timeframe, start, end):
                    asked = (answer.start, answer.end)
                    added = bar_store.add(symbol, timeframe, live.name, answer.bars, covered=asked, cut=cut)
                    done += answer.end - answer.start
                    words = (
                        f"{live.name} {symbol} {timeframe} until {answer.end:%Y-%m-%d %H:%M}, {added.new:,} new bars"
                    )
                    if added.different:
                        words += f", {added.different:,} differ from before and were not taken"
                    tell(words, done / whole)
        except (DataRequestError, SourceUnavailableError) as error:
            self._failed(f"{live.name}, {symbol}", error)

    def _failed(self, what: str, error: SequenceError) -> None:
        self.problems.append(f"{what}: {error}")
        self.failures.append(error)

    def _refuse_other_days(self, symbol: str, name: str, cut: str | None) -> None:
        """Raise DataRequestError when a symbol's sources end their days at different hours: they are never mixed."""
        if self.cuts.setdefault(symbol, cut) != cut:
            raise DataRequestError(
                f"{name} ends the days of {symbol} at {cut or 'the hour of the market'}, the source before it at "
                f"{self.cuts[symbol] or 'the hour of the market'}; such days are never mixed.",
                "Collect from one of them, or collect hours, which are joined into the market's own days.",
            )


def _own_timeframe(names: Iterable[str], config: DataConfig) -> Timeframe:
    """The timeframe to collect when none was asked for: the sources' own, M1 for live ones."""
    local = [name for name in names if not is_live(name)]
    if not local:
        raise DataRequestError("No timeframe was asked for.", "Name one: resolution='daily', or timeframe='H1'.")
    return source_named(local[0], file_request(config, config.symbols[0])).offer().timeframes[0]


def _together(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One symbol's bars: the first source's, and of each later one those that are not there yet."""
    if len(parts) == 1:
        return parts[0]
    both = pd.concat(parts)
    return both[~both.index.duplicated(keep="first")].sort_index()


def _part(tell: Tell, start: float, share: float) -> Tell:
    """Tell of a part of the whole."""
    return lambda words, done: tell(words, start + share * done)
