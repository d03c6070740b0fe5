"""Live: what is deployed, what it decided and why, how much room each guard has, and how days compare."""

from __future__ import annotations

from components.panels.failure import failures_shown, fetched
from components.panels.live import show_deployments, show_header
from components.panels.live_deploy import is_asked, offer_form, show_form, show_nothing_deployed
from components.panels.live_deployment import show_deployment
from components.panels.live_reconcile import show_reconciliation
from components.panels.live_switch import show_switch, show_switch_history
from components.panels.page import page_header, show_badges
from execution.trading_desk import desk
from mql5.bridge.terminals import TerminalStore

SENTENCE = "What is deployed, what it decided and why, and how much room each guard has left."


def show() -> None:
    """The kill switch, the form where it was asked for, all deployments, and the open one down to its days."""
    place = page_header("Live", SENTENCE)
    show_header(place)
    with place, failures_shown():
        offer_form()
    show_switch()
    deployments = fetched(desk.deployments)
    if deployments is None:
        show_badges(place, ("cannot read", "red"))
        return
    if is_asked():
        with failures_shown():
            show_form(TerminalStore().all())
    if not deployments:
        show_nothing_deployed()
    else:
        with failures_shown():
            opened = show_deployments()
            show_deployment(opened)
            with failures_shown():
                show_reconciliation(desk.deployment(int(opened)))
    with failures_shown():
        show_switch_history()


with failures_shown():
    show()
