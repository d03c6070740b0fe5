from __future__ import annotations

import pytest

from components.charts.live import figures_of, guards_figure, nearest_to_refusing, used_share
from components.charts.template import WARNING, palette
from execution.live.guards import Verdict

SPREAD = Verdict("spread", True, "spread 0.9 pips, at most 3.0", 0.9, 3.0, "pips", 0.7)
ENTRIES = Verdict("entries a day", True, "9 entries today, at most 10", 9, 10, "entries", 0.1)
LOSS = Verdict("daily loss", False, "down 5.20 % today, at most 5 %", 5.2, 5.0, "%", -0.04)
SWITCH = Verdict("kill switch", True, "the kill switch is off")
UNFED = Verdict("records", False, "nobody told whether <records> agree")


def test_a_bar_is_as_long_as_what_is_used_and_never_longer_than_the_limit() -> None:
    assert [used_share(each) for each in (SPREAD, ENTRIES, LOSS, SWITCH)] == pytest.approx([0.3, 0.9, 1.0, 0.0])
    track, used = guards_figure([SPREAD, LOSS, SWITCH]).data
    assert list(track.x) == [1.0, 1.0, 0.0]
    assert list(used.x) == pytest.approx([0.3, 1.0, 0.0])
    assert list(used.y) == ["spread", "daily loss", "kill switch"]


def test_colours_and_a_cross_tell_who_refuses_and_who_is_near_it() -> None:
    figure = guards_figure([SPREAD, ENTRIES, LOSS, SWITCH, UNFED])
    good, near, refusing, _, unfed = figure.data[1].marker.color
    assert (near, refusing, unfed) == (WARNING, palette().down, palette().down)
    assert good not in {near, refusing}
    said = [each.text for each in figure.layout.annotations]
    assert said[:3] == ["0.9 of 3.0 pips", "9 of 10 entries", "✕ 5.20 of 5.00 %"]
    assert said[3:] == ["the kill switch is off", "✕ nobody told whether &lt;records> agree"]


def test_long_words_are_cut_beside_and_whole_on_hover() -> None:
    words = "nobody told " + "the equity and " * 12
    figure = guards_figure([Verdict("daily loss", False, words)])
    assert len(figure.layout.annotations[0].text) < 90
    assert figure.data[1].hovertext[0] == words


def test_figures_are_written_in_the_units_of_the_guard() -> None:
    assert figures_of(Verdict("terminal", True, "", 12.34, 60.0, "s", 0.8)) == "12.3 of 60.0 s"
    assert figures_of(Verdict("confidence", True, "", 0.7, 0.55, "", 0.3)) == "0.70 of 0.55"
    assert figures_of(SWITCH) == ""


def test_the_nearest_to_refusing_counts_and_passes() -> None:
    assert nearest_to_refusing([SPREAD, ENTRIES, LOSS, SWITCH]) is ENTRIES
    assert nearest_to_refusing([LOSS, SWITCH]) is None


def test_no_guard_is_drawn_too() -> None:
    assert len(guards_figure([]).data) == 2
