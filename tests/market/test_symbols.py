from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as some

from core.errors import InputError
from market.symbols import AssetClass, canonical_symbol, symbol_of


@pytest.mark.parametrize(
    "text",
    [
        *("EURUSD", "eurusd", " EURUSD ", "EURUSD=X", "EUR/USD", "EUR-USD", "EUR_USD", "EUR USD"),
        *("EURUSD.m", "EURUSDm", "EURUSD.pro", "EURUSD#", "EURUSD_i", "EURUSDpro", "eurusd.ECN"),
    ],
)
def test_every_spelling_of_a_pair_is_the_same_symbol(text: str) -> None:
    assert canonical_symbol(text) == "EURUSD"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("BTC-USD", "BTCUSD"),
        ("BTC/USDT", "BTCUSDT"),
        ("DOGE-USD", "DOGEUSD"),
        ("xauusd.r", "XAUUSD"),
        ("XAG/EUR", "XAGEUR"),
        ("aapl", "AAPL"),
        ("BRK.B", "BRK.B"),
        ("BRK-B", "BRK-B"),
        ("^GSPC", "^GSPC"),
        ("US30", "US30"),
        ("USDUSD", "USDUSD"),
    ],
)
def test_other_names_are_put_in_capitals(text: str, name: str) -> None:
    assert canonical_symbol(text) == name


@pytest.mark.parametrize("text", ["", "  ", "../etc", "A B C D", "EUR\nUSD;", "x" * 30, "€", "=SUM(A1)"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"is no symbol\. Write it as EURUSD"):
        canonical_symbol(text)


@given(some.text("ABCDEURUSDXAUBTC./-_=#m ", max_size=12))
@settings(deadline=None)
def test_the_canonical_name_of_a_canonical_name_is_itself(text: str) -> None:
    try:
        name = canonical_symbol(text)
    except InputError:
        assume(False)
    assert canonical_symbol(name) == name
    assert symbol_of(text).name == name


@pytest.mark.parametrize(
    ("text", "digits", "pip", "contract", "asset_class"),
    [
        ("EURUSD", 5, 0.0001, 100_000, AssetClass.FX),
        ("GBP/JPY", 3, 0.01, 100_000, AssetClass.FX),
        ("EURHUF", 3, 0.01, 100_000, AssetClass.FX),
        ("XAUUSD", 2, 0.1, 100, AssetClass.FX),
        ("XAGUSD", 3, 0.01, 5_000, AssetClass.FX),
        ("BTC-USD", 2, 1.0, 1, AssetClass.CRYPTO),
        ("AAPL", 2, 0.01, 1, AssetClass.OTHER),
    ],
)
def test_a_symbol_knows_its_figures(
    text: str, digits: int, pip: float, contract: float, asset_class: AssetClass
) -> None:
    symbol = symbol_of(text)
    assert (symbol.digits, symbol.pip, symbol.contract_size) == (digits, pip, contract)
    assert symbol.asset_class is asset_class
    assert symbol.point == pytest.approx(10**-digits)
    assert symbol.lot_step == 0.01


def test_a_pair_knows_what_is_bought_and_what_it_costs() -> None:
    assert (symbol_of("eur/gbp").base, symbol_of("eur/gbp").quote) == ("EUR", "GBP")
    assert (symbol_of("DOGEUSDT").base, symbol_of("DOGEUSDT").quote) == ("DOGE", "USDT")
