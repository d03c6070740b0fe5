from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from core.log import STRUCK_OUT, configure_logging, get_logger, redact


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Give the process back the handlers and the level it had; close what the test opened."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def events(home: Path) -> Callable[[], list[dict[str, Any]]]:
    """Configure the log of a process named `tested` and read its events back."""
    configure_logging("tested")

    def read() -> list[dict[str, Any]]:
        file = home / "output_central" / "logs" / "tested.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    return read


Events = Callable[[], list[dict[str, Any]]]


def test_an_event_is_one_json_line_with_time_level_and_logger(events: Events) -> None:
    get_logger("data.sources").info("collected\nbars", symbol="EURUSD", rows=5, when="früh")
    (event,) = events()
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "collected\nbars",
        "level": "info",
        "logger": "data.sources",
        "symbol": "EURUSD",
        "rows": 5,
        "when": "früh",
    }


def test_the_standard_library_s_loggers_write_into_the_same_file(events: Events) -> None:
    logging.getLogger("urllib3").warning("retrying %s", "https://me:hunter2@example.org", extra={"api_key": "abc"})
    (event,) = events()
    assert event["event"] == f"retrying https://me:{STRUCK_OUT}@example.org"
    assert event["api_key"] == STRUCK_OUT
    assert (event["level"], event["logger"]) == ("warning", "urllib3")


def test_events_below_the_level_are_not_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_LOG__LEVEL", "WARNING")
    configure_logging("quiet")
    get_logger("here").info("unheard")
    get_logger("here").error("heard")
    lines = (home / "output_central" / "logs" / "quiet.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["heard"]


def test_configuring_twice_writes_each_event_once(events: Events) -> None:
    configure_logging("tested")
    get_logger("here").info("once")
    logging.getLogger("there").info("once too")
    assert [event["event"] for event in events()] == ["once", "once too"]


def test_getting_a_logger_configures_nothing(home: Path) -> None:
    handlers = list(logging.getLogger().handlers)
    get_logger("a script that imports a door")
    assert logging.getLogger().handlers == handlers
    assert list(home.iterdir()) == []


def test_secrets_are_struck_out_of_an_event_wherever_they_stand(events: Events) -> None:
    get_logger("here").info(
        "posted to https://me:hunter2@example.org",
        password="hunter2",  # noqa: S106
        request={
            "headers": {"Authorization": "Bearer hunter2hunter2", "Accept": "*/*"},
            "tries": [{"token": "hunter2"}],
        },
    )
    (event,) = events()
    assert "hunter2" not in json.dumps(event)
    assert event["request"]["headers"] == {"Authorization": STRUCK_OUT, "Accept": "*/*"}


def test_secrets_are_struck_out_of_the_text_of_exceptions(events: Events) -> None:
    try:
        raise ConnectionError("postgresql://sequence:hunter2@db/fx refused password=hunter2")
    except ConnectionError as error:
        get_logger("here").exception("the database is away")
        logging.getLogger("there").exception("the database is away")
        get_logger("here").warning("told as a value", error=error)
    assert len(events()) == 3
    assert "ConnectionError" in events()[0]["exception"]
    assert f"postgresql://sequence:{STRUCK_OUT}@db/fx" in events()[2]["error"]
    assert "hunter2" not in json.dumps(events())


@pytest.mark.parametrize(
    "key",
    [
        *("password", "db_password", "Passwd", "passphrase", "secret", "client_secret", "token", "accessToken"),
        *("api_key", "apikey", "X-API-Key", "key", "private_key", "SEQUENCE_BRIDGE_KEY"),
        *("Authorization", "Cookie", "credentials"),
    ],
)
def test_a_value_is_struck_out_by_the_name_of_its_key(key: str) -> None:
    assert redact({key: "hunter2"}) == {key: STRUCK_OUT}
    assert redact({key: {"nested": ["hunter2"]}}) == {key: STRUCK_OUT}


@pytest.mark.parametrize("key", ["symbol", "keys", "keyboard", "monkey", "passed", "compass_heading", "bypassed"])
def test_an_ordinary_key_keeps_its_value(key: str) -> None:
    assert redact({key: "EURUSD"}) == {key: "EURUSD"}


def test_a_secret_that_is_not_set_reads_as_not_set() -> None:
    assert redact({"api_key": None}) == {"api_key": None}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://me:hunter2@example.org/x?y=1", f"https://me:{STRUCK_OUT}@example.org/x?y=1"),
        ("redis://:hunter2@localhost:6379/0", f"redis://:{STRUCK_OUT}@localhost:6379/0"),
        ("Authorization: Bearer hunter2.abc-def", f"Authorization: Bearer {STRUCK_OUT}"),
        ("basic aHVudGVyMg==", f"basic {STRUCK_OUT}"),
        ("GET /prices?api_key=hunter2&symbol=EURUSD", f"GET /prices?api_key={STRUCK_OUT}&symbol=EURUSD"),
        ('{"password": "hunter2", "user": "me"}', f'{{"password": "{STRUCK_OUT}", "user": "me"}}'),
        ("password = hunter2; host=db", f"password = {STRUCK_OUT}; host=db"),
        ("TOKEN: hunter2", f"TOKEN: {STRUCK_OUT}"),
        ("SEQUENCE_REAL_KEY=hunter2 was set", f"SEQUENCE_REAL_KEY={STRUCK_OUT} was set"),
    ],
)
def test_a_secret_is_struck_out_of_text_and_the_rest_stays(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:8504/", "see https://example.org at 10:00 or a@b.org", "a basic idea", "12:30@close"]
)
def test_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_numbers_and_containers_keep_their_types() -> None:
    event = {"rows": 5, "share": 0.5, "ok": True, "none": None, "pairs": ("EURUSD", 1), "nested": {"list": [1, 2]}}
    assert redact(event) == {**event, "pairs": ["EURUSD", 1]}


def test_a_folder_that_cannot_be_written_does_not_stop_the_process(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "output_central").write_text("a file stands where the folder should be")
    configure_logging("homeless")
    get_logger("here").warning("nowhere to go")
    assert "Logging error" in capsys.readouterr().err


def test_a_log_that_has_grown_is_rotated_and_old_ones_go(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_LOG__MAX_MIB", "0.001")
    monkeypatch.setenv("SEQUENCE_LOG__KEEP_FILES", "2")
    configure_logging("long")
    for number in range(40):
        get_logger("here").info("x" * 200, number=number)
    files = sorted((home / "output_central" / "logs").iterdir())
    assert [file.name for file in files] == ["long.jsonl", "long.jsonl.1", "long.jsonl.2"]
    assert all(file.stat().st_size <= 1_100 for file in files)
