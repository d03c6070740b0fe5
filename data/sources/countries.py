"""The countries of news outlets: ISO codes and groups as users write them, and the letters GDELT knows them by.

GDELT names countries by FIPS 10-4, which is not ISO: its `EU` is Europa Island (uninhabited), its `CH` China,
`GB` Gabon, `AU` Austria, `GM` Germany. So nobody but this file speaks FIPS. The codes are those of GDELT's own
LOOKUP-COUNTRIES.TXT as public programs print it; none was tried against the server.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import DataRequestError
from core.names import nearest

# ISO 3166 → FIPS 10-4.
FIPS = {
    "AT": "AU",
    "AU": "AS",
    "BE": "BE",
    "BG": "BU",
    "BR": "BR",
    "CA": "CA",
    "CH": "SZ",
    "CN": "CH",
    "CY": "CY",
    "CZ": "EZ",
    "DE": "GM",
    "DK": "DA",
    "EE": "EN",
    "ES": "SP",
    "FI": "FI",
    "FR": "FR",
    "GB": "UK",
    "GR": "GR",
    "HK": "HK",
    "HR": "HR",
    "HU": "HU",
    "IE": "EI",
    "IL": "IS",
    "IN": "IN",
    "IT": "IT",
    "JP": "JA",
    "KR": "KS",
    "LT": "LH",
    "LU": "LU",
    "LV": "LG",
    "MT": "MT",
    "MX": "MX",
    "NL": "NL",
    "NO": "NO",
    "NZ": "NZ",
    "PL": "PL",
    "PT": "PO",
    "RU": "RS",
    "SE": "SW",
    "SG": "SN",
    "SI": "SI",
    "SK": "LO",
    "TH": "TH",
    "TR": "TU",
    "US": "US",
    "ZA": "SF",
}
# Those with the most outlets: GDELT refuses queries of more than about 250 characters, and a country takes 20.
_EURO = ("DE", "ES", "FR", "IT")
# What else users write: groups, and the one code that everybody uses and ISO only reserves.
GROUPS = {"EU": _EURO, "EUROZONE": _EURO, "UK": ("GB",)}


def outlet_countries(names: Iterable[str]) -> tuple[str, ...]:
    """The ISO codes meant by codes and groups (`['US', 'EU']`) in any case of letters: each once, sorted.

    Raises DataRequestError naming the nearest code when one is unknown.
    """
    return tuple(sorted({code for name in names for code in _codes(str(name).strip().upper())}))


def _codes(name: str) -> tuple[str, ...]:
    if name in FIPS:
        return (name,)
    if name in GROUPS:
        return GROUPS[name]
    known = [*FIPS, *GROUPS]
    meant = nearest(name, known)
    hint = f"Did you mean {meant!r}? " if meant else ""
    raise DataRequestError(
        f"countries={name!r} is no country whose news outlets can be asked for.",
        f"{hint}Known: {', '.join(sorted(known))}. Leave countries out for outlets of the whole world.",
    )
