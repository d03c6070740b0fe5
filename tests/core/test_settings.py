from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from core import settings
from core.errors import SettingsError
from core.settings import CHECKOUT, Settings, config_file, current_settings, output_folder


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without a config.yaml, so that only what a test writes is read."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.setattr(settings, "CHECKOUT", folder)
    return folder


def configure(folder: Path, text: str) -> Path:
    """Write a config.yaml; every writing is a later one, however coarse the clock of the file system."""
    file = folder / "config.yaml"
    later = file.stat().st_mtime_ns + 1_000_000_000 if file.exists() else None
    file.write_text(text, encoding="utf-8")
    if later:
        os.utime(file, ns=(later, later))
    return file


def refusal() -> SettingsError:
    with pytest.raises(SettingsError) as refused:
        current_settings()
    return refused.value


def test_without_file_and_variables_everything_is_at_its_default() -> None:
    assert config_file() is None
    assert current_settings() == Settings()
    assert current_settings().gui.port == 8504
    assert current_settings().gui.host == "127.0.0.1"


def test_the_output_folder_lies_in_home_and_in_the_checkout_without_one(
    home: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert output_folder() == home / "output_central"
    monkeypatch.delenv("SEQUENCE_HOME")
    assert output_folder() == checkout / "output_central"


def test_the_file_in_home_wins_over_the_checkouts(home: Path, checkout: Path) -> None:
    configure(checkout, "gui:\n  port: 9001\n")
    assert current_settings().gui.port == 9001
    configure(home, "gui:\n  host: 0.0.0.0\n")
    assert current_settings().gui.host == "0.0.0.0"  # noqa: S104
    assert current_settings().gui.port == 8504  # one file is read, not both


def test_a_variable_beats_the_file_and_leaves_its_neighbours(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(home, "data:\n  minimum_rows: 7\n  outlier_sigmas: 4\n")
    monkeypatch.setenv("SEQUENCE_DATA__MINIMUM_ROWS", "9")
    assert current_settings().data.minimum_rows == 9
    assert current_settings().data.outlier_sigmas == 4.0


def test_every_key_can_be_set_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        f"SEQUENCE_{section}__{key}".upper(): str(value)
        for section, keys in Settings().model_dump().items()
        for key, value in keys.items()
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert current_settings() == Settings()


def test_a_change_of_the_file_is_seen(home: Path) -> None:
    file = configure(home, "gui:\n  port: 9001\n")
    assert current_settings().gui.port == 9001
    configure(home, "gui:\n  port: 9002\n")
    assert current_settings().gui.port == 9002
    file.unlink()
    assert current_settings().gui.port == 8504


def test_a_change_of_a_variable_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_GUI__PORT", "9001")
    assert current_settings().gui.port == 9001
    monkeypatch.delenv("SEQUENCE_GUI__PORT")
    assert current_settings().gui.port == 8504


@pytest.mark.parametrize("text", ["", "# only words\n", "gui:\n", "gui:\n  # port: 9001\ndata:\n", "---\n"])
def test_an_empty_file_or_section_means_the_defaults(home: Path, text: str) -> None:
    configure(home, text)
    assert current_settings() == Settings()


def test_an_unknown_key_names_the_file_and_the_nearest_key(home: Path) -> None:
    file = configure(home, "gui:\n  prot: 9001\n")
    assert refusal().what == f"{file}: There is no 'gui.prot' in Settings."
    assert refusal().cure == "Did you mean 'port'? Known: host, port."


def test_an_unknown_section_names_the_file_and_the_nearest_section(home: Path) -> None:
    file = configure(home, "backtests:\n  cash: 1\n")
    assert refusal().what == f"{file}: There is no 'backtests' in Settings."
    assert refusal().cure.startswith("Did you mean 'backtest'? Known: gui, store, data")


def test_an_unknown_variable_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_GUI_PORT", "9001")
    assert "SEQUENCE_GUI_PORT is no setting" in refusal().what
    assert refusal().cure.startswith("Did you mean SEQUENCE_GUI__PORT?")


def test_other_programs_variables_are_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCER_PORT", "x")
    monkeypatch.setenv("GUI__PORT", "x")
    assert current_settings() == Settings()


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("gui:\n  port: high\n", "gui.port", "'high'"),
        ("gui:\n  port: 70000\n", "gui.port", "70000"),
        ("gui:\n  port: 80.5\n", "gui.port", "80.5"),
        ("store:\n  busy_timeout_seconds: 0\n", "store.busy_timeout_seconds", "0"),
        ("store:\n  busy_timeout_seconds: .nan\n", "store.busy_timeout_seconds", "nan"),
        ("display:\n  palette: pink\n", "display.palette", "'pink'"),
        ("display:\n  csv_decimal_comma: maybe\n", "display.csv_decimal_comma", "'maybe'"),
        ("gui: 8504\n", "gui", "8504"),
        ("gui:\n  port:\n", "gui.port", "None"),
    ],
)
def test_a_wrong_value_in_the_file_names_file_key_and_value(home: Path, text: str, key: str, value: str) -> None:
    file = configure(home, text)
    assert refusal().what == f"{file}: {key}={value} cannot be used."
    assert refusal().cure.endswith(".")


def test_a_wrong_value_in_a_variable_names_the_variable_and_not_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(home, "gui:\n  port: 9001\n")
    monkeypatch.setenv("SEQUENCE_GUI__PORT", "high")
    assert refusal().what == "SEQUENCE_GUI__PORT: gui.port='high' cannot be used."
    assert "integer" in refusal().cure


def test_a_wrong_value_in_the_file_is_not_blamed_on_another_keys_variable(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = configure(home, "gui:\n  port: high\n")
    monkeypatch.setenv("SEQUENCE_GUI__HOST", "localhost")
    assert refusal().what.startswith(f"{file}: gui.port='high'")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("gui:\n  port: 1\n   host: x\n", 3),
        ("gui:\n\tport: 1\n", 2),
        ("gui:\n  host: 'open\n", 3),
        ("data:\n  minimum_rows: 1\n store:\n", 3),
    ],
)
def test_what_is_not_yaml_names_its_line(home: Path, text: str, line: int) -> None:
    file = configure(home, text)
    assert refusal().what.startswith(f"{file}, line {line}, column ")
    assert "no tabs" in refusal().cure


def test_a_list_where_sections_were_expected_is_refused(home: Path) -> None:
    file = configure(home, "- gui\n- data\n")
    assert refusal().what == f"{file} holds ['gui', 'data'] where sections were expected."


def test_a_file_that_is_not_utf8_is_refused(home: Path) -> None:
    file = home / "config.yaml"
    file.write_bytes(b"gui:\n  host: caf\xe9\n")
    assert refusal().what.startswith(f"{file} cannot be read")
    assert "UTF-8" in refusal().cure


def test_a_corrected_file_is_read_again_after_a_refusal(home: Path) -> None:
    configure(home, "gui:\n  port: high\n")
    refusal()
    configure(home, "gui:\n  port: 9003\n")
    assert current_settings().gui.port == 9003


def test_settings_do_not_change_in_the_hand() -> None:
    with pytest.raises(ValueError, match="frozen"):
        current_settings().gui.port = 1  # type: ignore[misc]


def test_the_checkouts_config_sets_every_key_to_its_default() -> None:
    written = yaml.safe_load((CHECKOUT / "config.yaml").read_text(encoding="utf-8"))
    assert written == Settings().model_dump()


def test_every_key_of_the_checkouts_config_says_what_it_means() -> None:
    lines = (CHECKOUT / "config.yaml").read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if line.startswith(" ") and line.strip() and not line.strip().startswith("#")]
    assert len(keys) == sum(len(keys) for keys in Settings().model_dump().values())
    assert [line for line in keys if not line.partition(" # ")[2].strip()] == []


def test_a_short_name_stands_for_its_key_and_beats_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(home, "sources:\n  yahoo_base_url: http://127.0.0.1:1\n  timeout_seconds: 3\n")
    monkeypatch.setenv("SEQUENCE_YAHOO_BASE_URL", "http://127.0.0.1:9/")
    assert current_settings().sources.yahoo_base_url == "http://127.0.0.1:9"
    assert current_settings().sources.timeout_seconds == 3


def test_a_short_name_and_its_long_one_may_agree_but_not_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_GDELT_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SEQUENCE_SOURCES__GDELT_BASE_URL", "http://127.0.0.1:9")
    assert current_settings().sources.gdelt_base_url == "http://127.0.0.1:9"
    monkeypatch.setenv("SEQUENCE_SOURCES__GDELT_BASE_URL", "http://127.0.0.1:8")
    assert "SEQUENCE_GDELT_BASE_URL='http://127.0.0.1:9'" in refusal().what
    assert "differ" in refusal().what


def test_a_wrong_value_under_a_short_name_is_blamed_on_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_HISTDATA_BASE_URL", "ftp://example.org")
    assert refusal().what.startswith("SEQUENCE_HISTDATA_BASE_URL: sources.histdata_base_url='ftp://example.org'")
