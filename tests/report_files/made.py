"""Reports as MetaTrader 5 writes them, made of deals that add up; tests damage them or change one thing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

DOCTYPE = '<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN" "http://www.w3.org/TR/html4/loose.dtd">'
LOT = 100_000


@dataclass(frozen=True)
class Deal:
    """One deal in cents; a balance deal has no symbol."""

    time: datetime
    symbol: str
    type: str
    direction: str
    lots: str
    price: str
    commission: int
    swap: int
    profit: int
    comment: str = ""

    @property
    def money(self) -> int:
        return self.commission + self.swap + self.profit


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


DEALS = [
    Deal(moment("2025-01-02 00:00:00"), "", "balance", "", "", "", 0, 0, 1_000_000),
    Deal(moment("2025-01-02 10:00:00"), "EURUSD", "buy", "in", "0.1", "1.03512", -35, 0, 0, "cross"),
    Deal(moment("2025-01-03 14:00:00"), "EURUSD", "sell", "out", "0.1", "1.03012", -35, -82, -5_000, "sl 1.03012"),
    Deal(moment("2025-01-06 09:00:00"), "EURUSD", "sell", "in", "0.1", "1.04000", -35, 0, 0, "cross"),
    Deal(moment("2025-01-06 18:30:10"), "EURUSD", "buy", "out", "0.1", "1.03000", -35, 0, 10_000, "tp 1.03000"),
]


def money(cents: int, space: str = " ") -> str:
    """Money as reports print it: a space between thousands."""
    return f"{cents / 100:,.2f}".replace(",", space)


def stamp(time: datetime) -> str:
    return f"{time:%Y.%m.%d %H:%M:%S}"


def deal_cells(deals: list[Deal], space: str = " ") -> list[list[str]]:
    """The cells of each deal, its balance running."""
    rows, balance = [], 0
    for number, deal in enumerate(deals, 1):
        balance += deal.money
        order = str(number) if deal.symbol else ""
        cells = [stamp(deal.time), str(number), deal.symbol, deal.type, deal.direction, deal.lots, deal.price, order]
        figures = [money(value, space) for value in (deal.commission, deal.swap, deal.profit, balance)]
        rows.append([*cells, *figures, deal.comment])
    return rows


def figures_of(deals: list[Deal]) -> dict[str, str]:
    """What the report says of its deals; trades are counted by exits, each with the entry before it."""
    traded = [deal for deal in deals if deal.symbol]
    exits = [at for at, deal in enumerate(traded) if deal.direction == "out"]
    # The maker keeps an entry directly before its exit.
    profits = [traded[at].money + traded[at - 1].money for at in exits]
    won, lost = sum(p for p in profits if p > 0), sum(p for p in profits if p <= 0)
    count = len(exits)
    shorts = sum(traded[at].type == "buy" for at in exits)
    wins = sum(p > 0 for p in profits)
    return {
        "Total Net Profit:": money(won + lost),
        "Balance Drawdown Maximal:": "1 147.43 (12.70%)",
        "Equity Drawdown Relative:": "44.63% (892.63)",
        "Gross Profit:": money(won),
        "Gross Loss:": money(lost),
        "Profit Factor:": f"{won / -lost:.2f}" if lost else "0.00",
        "Expected Payoff:": f"{(won + lost) / 100 / count:.2f}" if count else "0.00",
        "Margin Level:": "1651.57%",
        "Z-Score:": "-0.68 (50.35%)",
        "Total Trades:": str(count),
        "Short Trades (won %):": f"{shorts} (50.00%)",
        "Long Trades (won %):": f"{count - shorts} (50.00%)",
        "Total Deals:": str(len(traded)),
        "Profit Trades (% of total):": f"{wins} (50.00%)",
        "Loss Trades (% of total):": f"{count - wins} (50.00%)",
        "Maximum consecutive wins ($):": "7 (2 406.88)",
        "Maximal consecutive profit (count):": "3 957.23 (4)",
        "Correlation (Profits,MFE):": "0.42",
        "Average position holding time:": "5:06:08",
    }


def report_page(deals: list[Deal] | None = None, space: str = " ") -> str:
    """The Strategy Tester's HTML as text."""
    deals = DEALS if deals is None else deals
    settings = [
        ("Expert:", "Crossover"),
        ("Symbol:", "EURUSD"),
        ("Period:", "H1 (2025.01.01 - 2025.12.31)"),
        ("Inputs:", "=== GENERAL ==="),
        ("", "InpMagic=20251121"),
        ("", "InpUrl=http://127.0.0.1/?a=b:"),
        ("Company:", "A &amp; B Ltd."),
        ("Currency:", "USD"),
        ("Initial Deposit:", "10 000.00"),
        ("Leverage:", "1:100"),
    ]
    head = [
        f'<tr align="right"><td nowrap colspan="3">{label}</td><td colspan="10"><b>{value}</b></td></tr>'
        for label, value in settings
    ]
    pairs = [
        f'<td nowrap colspan="3">{label}</td>\r\n<td nowrap><b>{value}</b></td>'
        for label, value in figures_of(deals).items()
    ]
    results = [f'<tr align="right">{"".join(pairs[at : at + 3])}</tr>' for at in range(0, len(pairs), 3)]
    orders = ["Open Time", "Order", "Symbol", "Type", "Volume", "Price", "S / L", "T / P", "Time", "State", "Comment"]
    header = [
        "Time",
        "Deal",
        "Symbol",
        "Type",
        "Direction",
        "Volume",
        "Price",
        "Order",
        "Commission",
        "Swap",
        "Profit",
        "Balance",
        "Comment",
    ]
    rows = deal_cells(deals, space)
    traded = [deal for deal in deals if deal.symbol]
    sums = [sum(getattr(deal, name) for deal in traded) for name in ("commission", "swap", "profit")]
    totals = "".join(f"<td nowrap><b>{money(each)}</b></td>" for each in sums)
    balance = rows[-1][-2] if rows else "0.00"
    return "\r\n".join(
        [
            DOCTYPE,
            '<html><head><title>Strategy Tester Report</title><meta name="generator" content="strategy tester"></head>',
            '<body><div align="center"><table cellspacing="1" border="0">',
            '<tr align="center"><td colspan="13"><div><b>Strategy Tester Report</b><br></div></td></tr>',
            '<tr align="center"><td colspan="13"><div><b>Demo-Server (Build 5833)</b><br></div></td></tr>',
            '<tr><td colspan="13" align="center"><div><b>Settings</b></div></td></tr>',
            *head,
            '<tr><td colspan="13" align="center"><div><b>Results</b></div></td></tr>',
            *results,
            '<tr align="center"><th colspan="13"><div><b>Orders</b></div></th></tr>',
            "<tr>" + "".join(_wide(name, name in {"Volume", "Time"}) for name in orders) + "</tr>",
            '<tr align=right><td>2025.01.02 10:00:00</td><td>2</td><td>EURUSD</td><td>buy</td><td colspan="2">0.1 / 0.1'
            '</td><td>1.03512</td><td></td><td></td><td colspan="2">2025.01.02 10:00:00</td>'
            "<td>filled</td><td></td></tr>",
            '<tr align="center"><th colspan="13"><div><b>Deals</b></div></th></tr>',
            "<tr>" + "".join(f"<td nowrap><b>{name}</b></td>" for name in header) + "</tr>",
            *("<tr align=right>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows),
            f'<tr align="right"><td colspan="8"></td>{totals}<td><b>{balance}</b></td><td nowrap></td></tr>',
            "</table></div></body></html>",
            "",
        ]
    )


def _wide(name: str, wide: bool) -> str:
    return f'<td nowrap colspan="2"><b>{name}</b></td>' if wide else f"<td nowrap><b>{name}</b></td>"


def report_html(deals: list[Deal] | None = None) -> bytes:
    """The Strategy Tester's HTML as the terminal writes it."""
    return b"\xff\xfe" + report_page(deals).encode("utf-16-le")


def deals_csv(deals: list[Deal] | None = None) -> bytes:
    """A list of deals."""
    header = "Time,Deal,Symbol,Type,Direction,Volume,Price,Order,Commission,Swap,Profit,Balance,Comment"
    rows = deal_cells(DEALS if deals is None else deals)
    return ("\r\n".join([header, *(",".join(row) for row in rows)]) + "\r\n").encode()


POSITION_NAMES = [
    "Time",
    "Position",
    "Symbol",
    "Type",
    "Volume",
    "Price",
    "S / L",
    "T / P",
    "Time",
    "Price",
    "Commission",
    "Swap",
    "Profit",
]
POSITIONS = [
    "2025.11.03 10:00:01,900001,EURUSD,buy,0.1,1.10007,1.09507,1.11007,2025.11.03 15:20:11,1.11007,-0.70,0.00,100.00",
    "2025.11.04 09:00:00,900002,USDJPY,sell,1,154.210,,,2025.11.06 09:00:00,155.010,-7.00,-12.40,-516.10",
]


def history_html(net: str = "-436.20") -> bytes:
    """An account's history; every position has a hidden cell with its comment."""
    rows = []
    for position in POSITIONS:
        cells = [f"<td>{cell}</td>" for cell in position.split(",")]
        cells[-1] = cells[-1].replace("<td>", '<td colspan="2">')
        rows.append("<tr>" + "".join([*cells[:4], '<td class="hidden" colspan="8">sig:17</td>', *cells[4:]]) + "</tr>")
    names = [f"<td nowrap><b>{name}</b></td>" for name in POSITION_NAMES]
    names[-1] = names[-1].replace("nowrap", 'nowrap colspan="2"')
    page = "\r\n".join(
        [
            DOCTYPE,
            "<html><head><title>12345678: Sample - Trade History Report</title></head><body><table>",
            '<tr><td colspan="14"><b>Trade History Report</b></td></tr>',
            '<tr><th colspan="4">Account:</th>'
            '<th colspan="10"><b>12345678&nbsp;(USD, Demo-Server, demo, Hedge)</b></th></tr>',
            '<tr><th colspan="14"><b>Positions</b></th></tr>',
            "<tr>" + "".join(names) + "</tr>",
            *rows,
            '<tr><th colspan="14"><b>Results</b></th></tr>',
            f'<tr><td colspan="3">Total Net Profit:</td><td><b>{net}</b></td></tr>',
            "</table></body></html>",
        ]
    )
    return b"\xff\xfe" + page.encode("utf-16-le")


def history_csv() -> bytes:
    """The same as a spreadsheet saves it: quoted, every row as wide as the widest, zeros before thousands."""
    lines = [["Trade History Report"], ["Account:", "", "", "12345678 (USD)"], ["Positions"], POSITION_NAMES]
    lines += [position.replace("-516.10", "-0 516.10").split(",") for position in POSITIONS]
    lines += [
        ["Orders"],
        ["Open Time", "Order", "Symbol", "Type", "Volume", "Price", "S / L", "T / P", "Time", "State"],
    ]
    lines += [
        [
            "2025.11.03 10:00:01",
            "900001",
            "EURUSD",
            "buy",
            "0.1 / 0.1",
            "market",
            "",
            "",
            "2025.11.03 10:00:01",
            "filled",
        ]
    ]
    padded = [[*line, *[""] * (15 - len(line))] for line in lines]
    return ("\r\n".join(",".join(f'"{cell}"' for cell in line) for line in padded) + "\r\n").encode()


PASS_NAMES = [
    "Pass",
    "Result",
    "Profit",
    "Expected Payoff",
    "Profit Factor",
    "Recovery Factor",
    "Sharpe Ratio",
    "Custom",
    "Equity DD %",
    "Trades",
    "InpFast",
    "InpTrail",
]
PASSES = [
    [
        "330",
        "10423.11",
        "423.11",
        "2.548855",
        "1.233870",
        "1.666115",
        "10.597013",
        "0.96588349786981753",
        "2.1113",
        "166",
        "12",
        "true",
    ],
    ["114", "10210.00", "210.00", "1.280488", "1.101000", "0.900000", "4.100000", "0", "3.0000", "164", "20", "false"],
]


def optimization_xml(names: list[str] | None = None, passes: list[list[str]] | None = None) -> str:
    """The table of an optimisation."""
    rows = [[("String", name) for name in names or PASS_NAMES]]
    rows += [
        [("String" if cell in {"true", "false"} else "Number", cell) for cell in each]
        for each in (PASSES if passes is None else passes)
    ]
    cells = "\n".join(
        "<Row>\n"
        + "\n".join(f'<Cell ss:StyleID="ce2"><Data ss:Type="{kind}">{cell}</Data></Cell>' for kind, cell in row)
        + "\n</Row>"
        for row in rows
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<?mso-application progid="Excel.Sheet"?>\n'
        '<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet" '
        'xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">\n'
        '<DocumentProperties xmlns="urn:schemas-microsoft-com:office:office">\n'
        "<Title>Crossover EURUSD,H1 2025.01.01-2025.12.31</Title>\n<Server>Demo-Server</Server>\n"
        "<Deposit>10000 USD</Deposit>\n<Leverage>100</Leverage>\n</DocumentProperties>\n"
        f'<Worksheet ss:Name="Tester Optimizator Results">\n<Table>\n{cells}\n</Table>\n</Worksheet>\n</Workbook>\n'
    )


def forward_xml() -> str:
    names = [*PASS_NAMES[:1], "Forward Result", "Back Result", *PASS_NAMES[2:]]
    row = [
        "330",
        "10080.00",
        "10423.11",
        "80.00",
        "1.600000",
        "1.100000",
        "0.900000",
        "3.100000",
        "0",
        "1.2000",
        "50",
        "12",
        "true",
    ]
    return optimization_xml(names, [row])


def export(**changes: Any) -> dict[str, Any]:
    """What the Expert Advisor writes at the end of the test."""
    types, entries = {"buy": 0, "sell": 1, "balance": 2}, {"": 0, "in": 0, "out": 1}
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001  # the server's clock, written as if it were UTC
    deals = [
        [
            (deal.time - epoch) // timedelta(seconds=1),
            number,
            deal.symbol,
            types[deal.type],
            entries[deal.direction],
            float(deal.lots or 0),
            float(deal.price or 0),
            deal.commission / 100,
            deal.swap / 100,
            deal.profit / 100,
            20251121,
            deal.comment,
        ]
        for number, deal in enumerate(DEALS, 1)
    ]
    found: dict[str, Any] = {
        "schema": "mt5.tester.v1",
        "ea": "Crossover",
        "build": 5833,
        "symbol": "EURUSD",
        "period": "PERIOD_H1",
        "from": 1735689600,
        "to": 1767139200,
        "deposit": 10000.0,
        "currency": "USD",
        "leverage": 100,
        "inputs": {"InpFast": 12, "InpLots": 0.1, "InpTrail": True, "InpName": "a"},
        "stats": {"STAT_PROFIT": 47.78, "STAT_TRADES": 2, "STAT_PROFIT_FACTOR": 1.93, "STAT_MIN_MARGINLEVEL": None},
        "deals": deals,
        "run_id": "b3f7",
    }
    return found | changes


def export_json(**changes: Any) -> bytes:
    return json.dumps(export(**changes)).encode()


def changed(at: int, **changes: Any) -> list[Deal]:
    """The deals with one of them changed."""
    return [replace(deal, **changes) if number == at else deal for number, deal in enumerate(DEALS)]
