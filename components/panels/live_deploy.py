"""The form that puts a run, a model or the scanner's setups to work on a terminal, and says what will happen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from components.numbers import DASH, age, number
from components.panels.choice import choose, choose_next
from components.panels.defaults import keep_defaults
from components.panels.live_origin import MODEL, ORIGINS, RUN, SETUPS, TITLES, Origin
from components.panels.live_scene import REAL, account_mode
from components.panels.live_terms import ask_limits, ask_sizing, limit_words, sizing_words
from components.panels.page import card, columns, do_once
from components.panels.words import verbatim
from core.errors import InputError
from execution.live.deployments import Deployment
from execution.live.guards import GUARDS
from execution.live.real import confirmation_of, switch_states
from execution.live.terms import Limits, Sizing
from execution.trading_desk import desk
from market.symbols import canonical_symbol, symbol_of
from mql5.bridge.ticks import TickStore
from workbench import BACKTESTING, BRIDGE, OVERVIEW

# In the address while the form is open: which of the three it is filled from.
ASKED = "deploy"
_KEY = "live.deploy"
_ROCKET = ":material/rocket_launch:"
Row = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A filled-in form."""

    origin: Origin
    terminal: Row
    symbol: str
    name: str
    sizing: Sizing
    limits: Limits
    confirmation: str | None

    def preview(self) -> str:
        """What will happen, in sentences a trader can object to."""
        origin, terminal = self.origin, self.terminal
        account = [terminal["login"] and f"account {terminal['login']}", terminal["server"]]
        where = ", ".join([account_mode(terminal), *(str(part) for part in account if part)])
        return (
            f"On each closed **{origin.timeframe}** bar of **{verbatim(self.symbol)}**, made from the ticks of "
            f"**{verbatim(terminal['client'])}** ({verbatim(where)}), **{verbatim(origin.strategy_name)}** decides "
            f"{verbatim(origin.words)} whether to be long, short or flat. A change becomes a signal of "
            f"{sizing_words(self.sizing)}, valid for {number(self.limits.valid_seconds)} s, once all {len(GUARDS)} "
            f"guards agree: {limit_words(self.limits)}. Exits are never held back. It begins with the bar that is open "
            "now, and enters at the first change of what it wants."
        )

    def submit(self) -> Deployment:
        """Deploy it. Raises what the door raises, with its cure."""
        origin = self.origin
        if symbol_of(self.symbol).digits != symbol_of(origin.symbol).digits:
            raise InputError(
                f"{self.symbol} is quoted with other decimals than {origin.symbol}.",
                "Choose the symbol that it was made for.",
            )
        further: dict[str, Any] = {
            "client": self.terminal["client"],
            "name": self.name or None,
            "sizing": self.sizing,
            "limits": self.limits,
            "real_confirmation": self.confirmation or None,
        }
        if origin.kind == RUN:
            return desk.deploy_run(origin.reference, symbol=self.symbol, **further)
        if origin.kind == MODEL:
            return desk.deploy_model(origin.reference, symbol=self.symbol, parameters=origin.parameters, **further)
        return desk.deploy_setups(self.symbol, origin.timeframe, parameters=origin.parameters, **further)


def is_asked() -> bool:
    """Whether the form is open: a link or the button said so."""
    return st.query_params.get(ASKED) in TITLES


def offer_form() -> None:
    """The page's main action: it opens the form."""
    if not is_asked() and st.button("Deploy on demo", key=f"{_KEY}.open", type="primary", icon=":material/add:"):
        st.query_params[ASKED] = RUN
        st.rerun()


def show_form(terminals: Sequence[Row]) -> None:
    """What is deployed, on which terminal, how large and how far it may go; then what will happen, and the button."""
    with card("Deploy", "a strategy at work on live bars, each entry judged by guards", key="live-deploy"):
        kind = _ask_kind()
        if not terminals:
            st.markdown("No terminal was heard yet, and a deployment needs one that streams and trades.")
            st.page_link(BRIDGE.file, label="Join a terminal", icon=BRIDGE.icon)
            _offer_to_close()
            return
        left, middle, right = columns([1, 1, 1])
        with left:
            origin = ORIGINS[kind]()
        if origin is None:
            _offer_to_close()
            return
        with left:
            terminal = _ask_terminal(terminals)
            symbol = _ask_symbol(origin, terminal)
            name = st.text_input(
                "Name", key=f"{_KEY}.name", placeholder="made from strategy and symbol", max_chars=64
            ).strip()
        with middle:
            sizing = ask_sizing(f"{_KEY}.sizing.{kind}.{origin.reference}", symbol, origin.sizing)
        real = account_mode(terminal) == REAL
        with right:
            limits = ask_limits(f"{_KEY}.limits", real)
        with middle:
            _warn_of_stop(origin, sizing, limits)
        request = Request(origin, terminal, symbol, name, sizing, limits, _ask_real(terminal, real))
        with st.container(border=True):
            st.markdown(request.preview())
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            label = "Deploy with real money" if real else "Deploy on demo"
            place = st.container(width="content")
            if real and not all(each.is_set for each in switch_states(request.confirmation, terminal["login"])):
                place.button(label, key=f"{_KEY}.not_yet", type="primary", icon=_ROCKET, disabled=True)
            else:
                do_once(place, label, f"{_KEY}.do", lambda: _begin(request.submit()), icon=_ROCKET)
            _offer_to_close()


def _ask_kind() -> str:
    """Which of the three, kept in the address."""
    asked = st.query_params.get(ASKED)
    keep_defaults({f"{_KEY}.kind": asked if asked in TITLES else RUN})
    kind = st.segmented_control(
        "What", list(TITLES), format_func=TITLES.__getitem__, required=True, key=f"{_KEY}.kind",
        label_visibility="collapsed",
    )  # fmt: skip
    st.query_params[ASKED] = kind or RUN
    return str(kind or RUN)


def _offer_to_close() -> None:
    def close() -> None:
        forget_form()

    st.button("Close the form", key=f"{_KEY}.close", type="tertiary", on_click=close)


def forget_form() -> None:
    """Take the form off the page and out of the address."""
    for name in (ASKED, RUN, MODEL, "symbol", "tf"):
        st.query_params.pop(name, None)
    st.session_state.pop(f"{_KEY}.kind", None)


def _ask_terminal(terminals: Sequence[Row]) -> Row:
    by_name = {row["client"]: row for row in terminals}

    def words(client: str) -> str:
        row = by_name[client]
        return f"{client} · {account_mode(row)} · heard {age(row['beat_at'])}"

    return by_name[choose("Terminal", list(by_name), "client", words)]


def _ask_symbol(origin: Origin, terminal: Row) -> str:
    """The symbol that the terminal streams for it: brokers rename them, and a wrong one is told at once."""
    streamed = [symbol for source, symbol in TickStore().streams() if source == terminal["client"]]
    wanted = canonical_symbol(origin.symbol)
    options = list(dict.fromkeys([*([wanted] if wanted in streamed else []), *streamed, wanted]))
    key = f"{_KEY}.symbol.{terminal['client']}.{wanted}"
    symbol = str(st.selectbox("Trade it as", options, key=key, help="The symbol as this terminal streams it."))
    if symbol not in streamed:
        st.warning(
            f"{verbatim(terminal['client'])} has sent no tick of {symbol}: nothing is decided before it does. Add it "
            "to the Expert Advisor's symbols."
        )
    elif symbol != wanted:
        st.warning(f"{origin.kind.capitalize()} and terminal differ: {wanted} is traded as {symbol}.")
    return symbol


def _warn_of_stop(origin: Origin, sizing: Sizing, limits: Limits) -> None:
    """What comes of the rule about stops, where a reader would be surprised."""
    if origin.kind == SETUPS:
        return
    if sizing.stop_pips is None and limits.max_risk_pct is not None:
        st.warning(
            f"Where {verbatim(origin.strategy_name)} gives no stop, the guard *risk* refuses the entry. Give a stop, "
            "or set *Risk an entry* to 0."
        )
    elif origin.kind == RUN and sizing.stop_pips and (origin.sizing is None or origin.sizing.stop_pips is None):
        st.caption("The run was made without such a stop. The days of the deployment are compared with one.")


def _ask_real(terminal: Row, real: bool) -> str | None:
    """Whether real money may be traded, switch by switch; what was typed as the confirmation."""
    confirmation = None
    if real:
        account = verbatim(str(terminal["login"] or DASH))
        st.warning(
            f"{verbatim(terminal['client'])} trades **real money** on account {account}. Three switches must be set, "
            "or it is refused."
        )
        confirmation = st.text_input(
            f"Type {confirmation_of(str(terminal['login']))}", key=f"{_KEY}.confirmation", max_chars=80, width=320
        ).strip()
    states = switch_states(confirmation, terminal["login"])
    count = sum(each.is_set for each in states)
    with st.expander(f"Real money: {count} of {len(states)} switches are set", expanded=real):
        for each in states:
            mark = ":green[set]" if each.is_set else ":gray[not set]"
            st.markdown(f"**{each.name}** {mark} · {verbatim(each.words)}")
    return confirmation


def _begin(deployment: Deployment) -> None:
    """Open what was deployed, and take the form away."""
    forget_form()
    st.session_state.pop(f"{_KEY}.name", None)
    choose_next("deployment", str(deployment.id))


def show_nothing_deployed() -> None:
    """An empty page: what will be here, and how to get there."""
    with card("Nothing is deployed yet", "research first, then live bars, then a comparison of the two"):
        st.markdown(
            "A deployment runs a strategy on the bars that your terminal streams. At each closed bar it writes down "
            "what it decided and why, lets the guards judge every entry, sends a signal, and is held against a "
            "backtest of the same bars.\n\n"
            "1. **Something to run:** a stored backtest (the sample workflow makes one), a champion model, or setups.\n"
            "2. **A terminal** with the Expert Advisor, on a demo account.\n"
            "3. **Deploy on demo**, above; then this page fills with each bar."
        )
        with st.container(horizontal=True, gap="small"):
            st.page_link(OVERVIEW.file, label="Run the sample workflow", icon=":material/play_arrow:")
            st.page_link(BRIDGE.file, label="Join a terminal", icon=BRIDGE.icon)
            st.page_link(BACKTESTING.file, label="Run a backtest", icon=BACKTESTING.icon)
