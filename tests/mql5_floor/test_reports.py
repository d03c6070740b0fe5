"""MetaTrader's reports: each recognised by its content, read to the cent, and refused or flagged when damaged."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from report_files import made
from report_files.made import DEALS, LOT, Deal, changed, moment

from core.errors import InputError
from execution.trade_match import match_trades
from mql5.files.clock import EU_RULE, NEW_YORK_CLOSE
from mql5.files.deal_pairs import TRADE_COLUMNS
from mql5.files.report_content import DEAL_COLUMNS, LIMIT_BYTES
from mql5.files.reports import Report, ReportKind, read_report

FILES = {
    ReportKind.TESTER: made.report_html(),
    ReportKind.HISTORY: made.history_html(),
    ReportKind.DEALS: made.deals_csv(),
    ReportKind.OPTIMIZATION: made.optimization_xml().encode(),
    ReportKind.FORWARD: made.forward_xml().encode(),
    ReportKind.EXPORT: made.export_json(),
}


def utf16(text: str) -> bytes:
    return b"\xff\xfe" + text.encode("utf-16-le")


def agrees(report: Report) -> bool:
    return report.totals_agree is True and report.problems == []


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_recognised_by_its_content(kind: ReportKind) -> None:
    report = read_report(FILES[kind], name="anything.bin")
    assert report.kind is kind
    assert agrees(report), report.problems
    assert report.name == "anything.bin"
    assert len(report.sha256) == 64
    assert tuple(report.deals.columns) == DEAL_COLUMNS
    assert tuple(report.trades.columns) == TRADE_COLUMNS
    assert (report.passes is not None) == (kind in {ReportKind.OPTIMIZATION, ReportKind.FORWARD})


def test_the_testers_figures_are_read_with_their_units() -> None:
    report = read_report(FILES[ReportKind.TESTER])
    expected = {
        "total_net_profit": 47.78,
        "gross_loss": -51.52,
        "balance_drawdown_maximal": 1147.43,
        "balance_drawdown_maximal_pct": 12.7,
        "equity_drawdown_relative_pct": 44.63,
        "equity_drawdown_relative": 892.63,
        "margin_level_pct": 1651.57,
        "z_score": -0.68,
        "z_score_pct": 50.35,
        "total_trades": 2.0,
        "short_trades": 1.0,
        "short_trades_won_pct": 50.0,
        "profit_trades_pct": 50.0,
        "maximum_consecutive_wins": 7.0,
        "maximum_consecutive_wins_money": 2406.88,
        "maximal_consecutive_profit": 3957.23,
        "maximal_consecutive_profit_count": 4.0,
        "correlation_profits_mfe": 0.42,
        "average_position_holding_seconds": 5 * 3600 + 6 * 60 + 8.0,
    }
    assert {name: report.statistics.get(name) for name in expected} == expected
    assert report.inputs == {"InpMagic": "20251121", "InpUrl": "http://127.0.0.1/?a=b:"}
    settings = {
        "expert": "Crossover",
        "symbol": "EURUSD",
        "timeframe": "H1",
        "first": "2025.01.01",
        "last": "2025.12.31",
        "company": "A & B Ltd.",
        "currency": "USD",
        "deposit": "10000",
        "leverage": "100",
        "server": "Demo-Server",
        "build": "5833",
    }
    assert {name: report.settings.get(name) for name in settings} == settings


@pytest.mark.parametrize("kind", [ReportKind.TESTER, ReportKind.DEALS, ReportKind.EXPORT])
def test_deals_become_trades_in_units_and_net_of_costs(kind: ReportKind) -> None:
    trades = read_report(FILES[kind], clock=NEW_YORK_CLOSE).trades
    assert trades["side"].tolist() == ["long", "short"]
    assert trades["size"].tolist() == pytest.approx([10_000, -10_000])
    assert trades["pnl"].tolist() == pytest.approx([-51.52, 99.30])
    assert trades["commission"].tolist() == pytest.approx([0.70, 0.70])
    assert trades["swap"].tolist() == pytest.approx([-0.82, 0.0])
    assert trades["entry_price"].tolist() == [1.03512, 1.04]
    assert trades["exit_price"].tolist() == [1.03012, 1.03]
    assert trades["exit_tag"].tolist() == ["sl 1.03012", "tp 1.03000"]
    assert trades["entry_time"].tolist() == [
        pd.Timestamp("2025-01-02 08:00", tz="UTC"),
        pd.Timestamp("2025-01-06 07:00", tz="UTC"),
    ]


def test_the_same_test_gives_the_same_trades_from_every_file() -> None:
    first, *others = (
        read_report(FILES[kind], clock=EU_RULE).trades
        for kind in (ReportKind.TESTER, ReportKind.DEALS, ReportKind.EXPORT)
    )
    for other in others:
        match = match_trades(
            first, other, time_tolerance=pd.Timedelta(0), price_tolerance=0.0, size_tolerance=0.0, pnl_tolerance=1e-9
        )
        assert match.is_equal, match.sentence()


def test_without_a_clock_times_stay_the_servers_and_are_not_compared() -> None:
    trades = read_report(FILES[ReportKind.TESTER]).trades
    assert trades["entry_time"].dt.tz is None
    with pytest.raises(InputError, match="no time zone"):
        match_trades(trades, trades, time_tolerance=pd.Timedelta(0), price_tolerance=0.0, size_tolerance=0.0)


@pytest.mark.parametrize("content", [made.history_html(), made.history_csv()])
def test_the_positions_of_a_history_are_its_trades(content: bytes) -> None:
    report = read_report(content, clock=NEW_YORK_CLOSE)
    assert report.kind is ReportKind.HISTORY
    assert report.settings["currency"] == "USD"
    trades = report.trades
    assert trades["symbol"].tolist() == ["EURUSD", "USDJPY"]
    assert trades["size"].tolist() == pytest.approx([10_000, -100_000])
    assert trades["pnl"].tolist() == pytest.approx([99.30, -535.50])
    assert trades["exit_time"].tolist()[0] == pd.Timestamp("2025-11-03 13:20:11", tz="UTC")
    assert report.statistics["total_net_profit"] == pytest.approx(-436.20)


def test_figures_are_made_of_the_trades_where_a_file_has_none() -> None:
    report = read_report(made.history_csv())
    assert report.statistics_computed
    assert report.totals_agree is None
    assert report.statistics["profit_factor"] == pytest.approx(99.30 / 535.50)
    assert not read_report(FILES[ReportKind.TESTER]).statistics_computed


def test_an_optimisation_gives_its_passes_and_the_best_ones_inputs() -> None:
    report = read_report(FILES[ReportKind.OPTIMIZATION])
    assert report.passes is not None
    assert report.passes["pass"].tolist() == [330, 114]
    assert report.passes["InpTrail"].tolist() == [True, False]
    assert report.statistics["total_net_profit"] == 423.11
    assert report.statistics["passes"] == 2
    assert report.inputs == {"InpFast": "12", "InpTrail": "true"}
    assert report.settings["expert"] == "Crossover"
    assert report.settings["currency"] == "USD"
    assert report.trades.empty
    forward = read_report(FILES[ReportKind.FORWARD])
    assert (forward.statistics["forward_result"], forward.statistics["back_result"]) == (10080.0, 10423.11)


def test_cells_left_out_in_xml_are_told_by_their_index() -> None:
    text = made.optimization_xml()
    cell = '<Cell ss:StyleID="ce2"><Data ss:Type="Number">12</Data></Cell>\n'
    assert text.count(cell) == 1
    skipped = text.replace(cell, "").replace(
        '<Cell ss:StyleID="ce2"><Data ss:Type="String">true', '<Cell ss:Index="12"><Data ss:Type="String">true'
    )
    passes = read_report(skipped.encode()).passes
    assert passes is not None
    assert passes["InpTrail"].tolist() == [True, False]
    assert passes["InpFast"].isna().tolist() == [True, False]


def test_the_exports_figures_have_the_reports_names() -> None:
    stats = {"STAT_PROFIT": 47.78, "STAT_PROFIT_FACTOR": 1.7976931348623157e308, "STAT_EQUITY_DDREL_PERCENT": 0.6}
    report = read_report(made.export_json(stats={**stats, "STAT_NEW": 1, "STAT_SHARPE_RATIO": None}))
    # What has no value in MetaTrader is left out.
    assert report.statistics == {"total_net_profit": 47.78, "equity_drawdown_relative_pct": 0.6, "new": 1.0}
    assert report.inputs == {"InpFast": "12", "InpLots": "0.1", "InpTrail": "true", "InpName": "a"}
    assert (report.settings["timeframe"], report.settings["first"]) == ("H1", "2025.01.01")


@pytest.mark.parametrize(
    "content",
    [
        utf16(made.report_page()),
        made.report_page().encode("utf-16-le"),
        b"\xfe\xff" + made.report_page().encode("utf-16-be"),
        made.report_page().encode(),
        b"\xef\xbb\xbf" + made.report_page().encode(),
        made.report_page().replace("A &amp; B", "Größe").encode("cp1252"),
        utf16(made.report_page(space="\u00a0")),
        utf16(made.report_page(space="&nbsp;")),
        utf16(made.report_page(space="\u202f")),
        utf16(made.report_page().replace("\r\n", "\n")),
        utf16(made.report_page().replace("<td", "<TD").replace("</td>", "</TD>")),
    ],
)
def test_a_report_saved_otherwise_reads_the_same(content: bytes) -> None:
    report = read_report(content)
    assert agrees(report), report.problems
    assert report.trades["pnl"].sum() == pytest.approx(47.78)


def test_a_spreadsheets_semicolons_and_decimal_commas_are_read() -> None:
    text = made.deals_csv().decode().replace(",", ";").replace(".12", ",12").replace(".00;", ",00;")
    assert ",00;" in text
    assert agrees(read_report(text.encode()))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("9 999.65", "9 999.66", "balances do not follow.*deal 2"),
        (">-50.00<", ">-51.00<", "The deals: 46.78, but Total Net Profit: 47.78"),
        ("<b>47.78</b>", "<b>74.78</b>", "Total Net Profit: 74.78"),
        ("<b>-1.40</b>", "<b>-1.41</b>", "The column commission: -1.40"),
        ("<b>99.30</b>", "<b>99.03</b>", "gross_profit and gross_loss"),
        ("<b>1.93</b>", "<b>1.39</b>", "profit_factor: 1.39"),
        ("<b>23.89</b>", "<b>28.39</b>", "expected_payoff: 28.39"),
        ("Total Trades:</td>\r\n<td nowrap><b>2<", "Total Trades:</td>\r\n<td nowrap><b>3<", "Total Trades: 3.00"),
    ],
)
def test_a_report_that_does_not_add_up_is_flagged(old: str, new: str, words: str) -> None:
    page = made.report_page()
    assert page.count(old) >= 1
    report = read_report(utf16(page.replace(old, new, 1)))
    assert report.totals_agree is False
    pd.testing.assert_index_equal(report.trades.columns, pd.Index(TRADE_COLUMNS))
    assert any(pd.Series(report.problems).str.contains(words)), report.problems


def test_other_files_that_do_not_add_up_are_flagged() -> None:
    for content in (
        made.history_html(net="-346.20"),
        made.optimization_xml().replace(">423.11<", ">432.11<").encode(),
        made.export_json(stats={"STAT_PROFIT": 74.78}),
        made.deals_csv().replace(b"9 999.65", b"9 999.56"),
    ):
        report = read_report(content)
        assert report.totals_agree is False
        assert report.problems


def cut_row() -> bytes:
    """A tester's report that lost the last cell of a deal."""
    return utf16(made.report_page().replace("<td>cross</td></tr>", "</tr>", 1))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xff\xfe", "is empty"),
        (b"\0\0\0", "is empty"),
        (b"PK\x03\x04 and more", "Open XML"),
        (bytes(range(256)) * 10, "no cp1252 text"),
        (made.report_html()[:-401], "cut|utf-16"),
        (made.report_html()[:-400], "</html>"),
        (made.report_html()[:3001], "utf-16"),
        (cut_row(), "Row 2 of the deals has 12 cells"),
        (made.report_page().replace("2025.01.03 14:00:00", "2025.01.03 14h", 1).encode(), "is no time"),
        (made.report_page().replace("2025.01.03 14:00:00", "2025.13.03 14:00:00").encode(), r"2025\.13\.03"),
        (made.report_page().replace(">1.03012<", ">1,03012<").encode(), "price in row 3.*no number"),
        (made.report_page().replace(">0.1<", "><", 1).encode(), "of 0 lots"),
        (made.report_page().replace(">out<", ">aus<").encode(), "Deal 3.*aus"),
        (made.report_page().replace(">3</td><td>EURUSD", ">3x</td><td>EURUSD").encode(), "no ticket"),
        (made.report_page().replace("sl 1.03012", "x" * 5_000).encode(), "cell of 5,0"),
        (made.report_page().replace(">Deal<", ">Trade<").encode(), "no table of deals"),
        (made.report_page().replace("Strategy Tester Report", "Strategy Tester: Mine").encode(), "MetaTrader 4"),
        (made.history_html().replace("2025.11.03 15".encode("utf-16-le"), "2025.11.02 15".encode("utf-16-le")), "ends"),
        (b"<html><body>error 404</body></html>", "no deals or positions"),
        (made.deals_csv()[:-20], "cells, the header 13"),
        (made.deals_csv()[:-120], "cells, the header 13|is no time"),
        (made.deals_csv() + b"2025.01.0", "no time"),
        (made.deals_csv().replace(b"2025.01.03 14:00:00", b"2025-01-03 14:00:00"), "is no time"),
        (b"Time,Symbol\n2025.01.01 00:00:00,EURUSD\n", "are not known"),
        (b'Time,Deal,"unclosed\n', "no CSV"),
        (b"<DATE>\t<TIME>\t<OPEN>\n2025.01.01\t00:00\t1\n", "bars, ticks or settings"),
        (b"; saved on\nInpFast=1\n", "bars, ticks or settings"),
        (b"[Tester]\nExpert=a\n", "bars, ticks or settings"),
        (made.optimization_xml()[:900].encode(), "XML ends or breaks"),
        (made.optimization_xml(passes=[]).encode(), "lists no pass"),
        (made.optimization_xml().replace(">423.11<", ">4z3.11<").encode(), "'4z3.11'"),
        (made.optimization_xml().replace(">423.11<", ">nan<").encode(), "'nan'"),
        (made.optimization_xml().replace(">Profit<", ">Gewinn<").encode(), "no column profit"),
        (made.optimization_xml().replace(">InpTrail<", ">InpFast<").encode(), "twice"),
        (made.optimization_xml().replace("<Cell ", '<Cell ss:Index="99999" ', 1).encode(), "column 99999"),
        (made.optimization_xml()[:-30].encode("utf-8") + b"\xff", "XML ends or breaks"),
        (b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "document type"),
        (('<?xml version="1.0"?>' + "<a>" * 10_000).encode(), "nests more than"),
        (b'<?xml version="1.0"?><a/>', "no table"),
        (made.export_json()[:-40], "JSON is damaged"),
        (b"[" * 100_000, "nests too deep|damaged"),
        (b'{"schema":"other"}', "its schema is 'other'"),
        (b"[]", "its schema is 'list'"),
        (made.export_json(deals=None), "no list of deals"),
        (made.export_json(deals=[[1, 2]]), "Deal 1 is no array"),
        (made.export_json(deals=[[1e300, *made.export()["deals"][1][1:]]]), "time of deal 1"),
        (made.export_json(stats=[1]), "stats is list"),
        (made.export_json(stats={"STAT_PROFIT": "much"}), "STAT_PROFIT is 'much'"),
        (made.export_json(inputs={"A": [1]}), "neither text"),
        (b'{"schema":"mt5.tester.v1","stats":{"STAT_PROFIT":NaN}}', "holds NaN"),
        (b'{"schema":"mt5.tester.v1","from":' + b"9" * 5_000 + b"}", "damaged"),
        (made.export_json(**{"from": -5}), "from is '-5'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_cure(content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        read_report(content)
    assert refused.value.cure


def test_a_report_in_another_language_is_refused_with_the_way_to_an_english_one() -> None:
    page = made.report_page().replace("Strategy Tester Report", "Strategietester-Bericht")
    for english, german in (
        ("Deal<", "Abschluss<"),
        ("Order<", "Auftrag<"),
        ("Time<", "Zeit<"),
        ("Profit<", "Gewinn<"),
    ):
        page = page.replace(english, german)
    with pytest.raises(InputError, match=r"Zeit.*are not known.*View, Languages"):
        read_report(utf16(page))


def test_a_file_that_is_too_large_is_not_read() -> None:
    with pytest.raises(InputError, match="more than the"):
        read_report(b"a" * (LIMIT_BYTES + 1))


@pytest.mark.parametrize(
    "content",
    [
        b"<html>" + b"<td " * 200_000 + b"</html>",
        b"<html><tr>" + b"<td><" * 200_000 + b"</html>",
        b"<html><tr>" + b"<td colspan=99>" * 200_000 + b"</html>",
        b"<html><!--" * 50_000 + b"</html>",
        b"<html>" + b"<tr>" * 500_000 + b"</html>",
        b"\n" * 1_000_000 + b"a",
        b"," * 1_000_000,
        b"<html><tr>" + (b"<tr><td>Label:<td>" + b" " * 3_900) * 200 + b"</html>",
    ],
)
def test_a_hostile_file_is_refused_at_once(content: bytes) -> None:
    begun = time.perf_counter()
    with pytest.raises(InputError):
        read_report(content)
    # A thousand times what it takes, and far less than anything quadratic would.
    assert time.perf_counter() - begun < 20


def trade(
    symbol: str, span: tuple[str, str], side: str, *, lots: str, prices: tuple[str, str], profit: int
) -> list[Deal]:
    begin, end = span
    one, other = ("buy", "sell") if side == "long" else ("sell", "buy")
    return [
        Deal(moment(begin), symbol, one, "in", lots, prices[0], -10, 0, 0, begin),
        Deal(moment(end), symbol, other, "out", lots, prices[1], -10, 0, profit, begin),
    ]


def pairs_of(deals: list[Deal], **arguments: Any) -> pd.DataFrame:
    ordered = [DEALS[0], *sorted(deals, key=lambda deal: deal.time)]
    report = read_report(made.deals_csv(ordered), **arguments)
    assert agrees(report), report.problems
    return report.trades


def test_an_exit_goes_to_the_entry_whose_profit_it_reports() -> None:
    deals = [
        *trade(
            "EURUSD",
            ("2025-01-06 09:00", "2025-01-06 15:00"),
            "long",
            lots="0.1",
            prices=("1.10000", "1.10500"),
            profit=5_000,
        ),
        *trade(
            "EURUSD",
            ("2025-01-06 10:00", "2025-01-06 12:00"),
            "long",
            lots="0.1",
            prices=("1.10200", "1.10300"),
            profit=1_000,
        ),
    ]
    page = made.report_page([DEALS[0], *sorted(deals, key=lambda deal: deal.time)])
    trades = read_report(utf16(page)).trades  # the report says that the account is in USD
    assert trades["tag"].tolist() == trades["exit_tag"].tolist()
    assert trades["pnl"].tolist() == pytest.approx([49.8, 9.8])


def test_an_exit_goes_to_the_position_it_names() -> None:
    rows = [
        [1735812000 + at * 60, at, "EURUSD", kind, entry, 0.1, 1.1, 0.0, 0.0, profit, 7, "", position, 0.0]
        for at, (kind, entry, profit, position) in enumerate(
            [(0, 0, 0.0, 11), (0, 0, 0.0, 12), (1, 1, 5.0, 12), (1, 1, 3.0, 11)], 1
        )
    ]
    trades = read_report(made.export_json(deals=rows, stats={"STAT_PROFIT": 8.0})).trades
    assert trades["pnl"].tolist() == [3.0, 5.0]
    assert (trades["exit_time"] - trades["entry_time"]).tolist() == [timedelta(minutes=3), timedelta(minutes=1)]


def test_a_position_closed_in_parts_is_so_many_trades() -> None:
    deals = [
        Deal(moment("2025-01-06 09:00"), "EURUSD", "buy", "in", "0.3", "1.10000", -30, 0, 0),
        Deal(moment("2025-01-06 10:00"), "EURUSD", "sell", "out", "0.1", "1.10100", -10, -6, 1_000),
        Deal(moment("2025-01-06 11:00"), "EURUSD", "sell", "out", "0.2", "1.10200", -20, 0, 4_000),
    ]
    trades = pairs_of(deals)
    assert trades["size"].tolist() == pytest.approx([10_000, 20_000])
    assert trades["commission"].tolist() == pytest.approx([0.20, 0.40])
    assert trades["pnl"].tolist() == pytest.approx([10 - 0.20 - 0.06, 40 - 0.40])


def test_a_reversal_closes_one_trade_and_opens_the_next() -> None:
    deals = [
        Deal(moment("2025-01-06 09:00"), "EURUSD", "buy", "in", "0.1", "1.10000", -10, 0, 0),
        Deal(moment("2025-01-06 10:00"), "EURUSD", "sell", "in/out", "0.3", "1.10100", -30, -6, 1_000),
        Deal(moment("2025-01-06 11:00"), "EURUSD", "buy", "out", "0.2", "1.10000", -20, 0, 2_000),
    ]
    trades = pairs_of(deals)
    assert trades["side"].tolist() == ["long", "short"]
    assert trades["size"].tolist() == pytest.approx([10_000, -20_000])
    assert trades["pnl"].tolist() == pytest.approx([10 - 0.20 - 0.06, 20 - 0.40])


def test_one_exit_may_close_several_entries() -> None:
    deals = [
        Deal(moment("2025-01-06 09:00"), "EURUSD", "buy", "in", "0.1", "1.10000", -10, 0, 0),
        Deal(moment("2025-01-06 10:00"), "EURUSD", "buy", "in", "0.3", "1.10100", -30, 0, 0),
        Deal(moment("2025-01-06 11:00"), "EURUSD", "sell", "out", "0.4", "1.10200", -40, -8, 4_000),
    ]
    trades = pairs_of(deals)
    assert trades["size"].tolist() == pytest.approx([10_000, 30_000])
    assert trades["pnl"].sum() == pytest.approx(40 - 0.80 - 0.08)


def test_what_is_still_open_has_no_exit_and_what_was_never_opened_is_no_trade() -> None:
    deals = [
        *trade(
            "EURUSD", ("2025-01-06 09:00", "2025-01-06 10:00"), "long", lots="0.1", prices=("1.1", "1.2"), profit=100
        )
    ]
    still_open = pairs_of(deals[:1], clock=NEW_YORK_CLOSE)
    assert still_open["exit_time"].isna().tolist() == [True]
    assert still_open["pnl"].isna().tolist() == [True]
    report = read_report(made.deals_csv([DEALS[0], deals[1]]))
    assert report.trades.empty
    assert report.problems == [
        "1 deals close what the file does not open (the first is deal 2); what they close beyond it is no trade here."
    ]


def test_lots_become_units_by_the_symbol_or_by_what_is_given() -> None:
    made_deals = trade(
        "XAUUSD.m",
        ("2025-01-06 09:00", "2025-01-06 10:00"),
        "short",
        lots="0.5",
        prices=("2600.1", "2590.1"),
        profit=5_000,
    )
    assert pairs_of(made_deals)["size"].tolist() == [-50.0]
    assert pairs_of(made_deals, contract_sizes={"XAUUSD.m": 10.0})["size"].tolist() == [-5.0]
    with pytest.raises(InputError, match="contract size of XAUUSD is 0"):
        read_report(FILES[ReportKind.DEALS], contract_sizes={"XAUUSD": 0})
    odd = [
        DEALS[0],
        *trade(
            "#US500+", ("2025-01-06 09:00", "2025-01-06 10:00"), "long", lots="2", prices=("5900", "5910"), profit=2_000
        ),
    ]
    report = read_report(made.deals_csv(odd))
    assert report.problems == ["The units in a lot of #US500+ are not known; sizes are given in lots."]
    assert report.trades["size"].tolist() == [2.0]
    assert read_report(made.deals_csv(odd), contract_sizes={"#US500+": 1.0}).problems == []


CENTS = some.integers(-200_000_00, 200_000_00)


@some.composite
def histories(draw: some.DrawFn) -> list[Deal]:
    """Trades one after the other, of several symbols."""
    at = moment("2025-01-02 00:00:00")
    deals = [Deal(at, "", "balance", "", "", "", 0, 0, draw(some.integers(1, 10**9)))]
    for _ in range(draw(some.integers(1, 12))):
        symbol = draw(some.sampled_from(["EURUSD", "USDJPY", "XAUUSD.m"]))
        is_long = draw(some.booleans())
        lots = f"{draw(some.integers(1, 5_000)) / 100:.2f}"
        for direction in ("in", "out"):
            at += timedelta(seconds=draw(some.integers(0, 400_000)))
            price = f"{draw(some.integers(1, 10**8)) / 1e5:.5f}"
            kind = "buy" if is_long == (direction == "in") else "sell"
            swap, profit = (draw(CENTS), draw(CENTS)) if direction == "out" else (0, 0)
            deals.append(Deal(at, symbol, kind, direction, lots, price, -draw(some.integers(0, 900)), swap, profit))
    return deals


@settings(deadline=None)
@given(deals=histories())
def test_any_history_reads_back_to_the_cent(deals: list[Deal]) -> None:
    for content in (made.report_html(deals), made.deals_csv(deals)):
        report = read_report(content, clock=NEW_YORK_CLOSE)
        assert agrees(report), report.problems
        assert len(report.trades) == (len(deals) - 1) // 2
        assert report.trades["pnl"].sum() == pytest.approx(sum(deal.money for deal in deals[1:]) / 100, abs=1e-6)
        assert report.deals["time"].tolist() == [pd.Timestamp(deal.time) for deal in deals]
        expected = [float(deal.lots) * (100 if "XAU" in deal.symbol else LOT) for deal in deals[1::2]]
        assert sorted(report.trades["size"].abs()) == pytest.approx(sorted(expected))


@settings(deadline=None)
@given(at=some.integers(1, 4), profit=some.integers(-10_000, 10_000))
def test_a_changed_profit_never_goes_unnoticed(at: int, profit: int) -> None:
    page = made.report_page(changed(at, profit=profit))
    report = read_report(utf16(page))
    original = made.report_page()
    # The deals of one report under the figures of another.
    head, tail = original.partition("<b>Orders</b>")[0], page.partition("<b>Orders</b>")[2]
    mixed = read_report(utf16(f"{head}<b>Orders</b>{tail}"))
    assert agrees(report), report.problems
    assert mixed.totals_agree is (profit == DEALS[at].profit)


@settings(deadline=None)
@given(kind=some.sampled_from(list(FILES)), data=some.data())
def test_any_damage_is_read_or_refused(kind: ReportKind, data: some.DataObject) -> None:
    content = bytearray(FILES[kind])
    for _ in range(data.draw(some.integers(1, 4))):
        begin = data.draw(some.integers(0, len(content) - 1))
        end = min(len(content), begin + data.draw(some.integers(0, 60)))
        content[begin:end] = data.draw(some.binary(max_size=12))
        if len(content) < 2:
            break
    if data.draw(some.booleans()):
        del content[data.draw(some.integers(0, max(len(content) - 1, 0))) :]
    with suppress(InputError):
        report = read_report(bytes(content), clock=NEW_YORK_CLOSE)
        json.dumps([report.statistics, report.settings, report.inputs, report.problems], allow_nan=False)


@settings(deadline=None)
@given(cut=some.integers(1, 8_000))
def test_a_tester_report_that_is_cut_off_is_never_read(cut: int) -> None:
    content = FILES[ReportKind.TESTER]
    left = content[: max(len(content) - 4 - cut, 0)]  # the last line end may go
    with pytest.raises(InputError):
        read_report(left)
