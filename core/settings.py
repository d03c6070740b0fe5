"""Where the workbench lives and how it is set: config.yaml, overridden by SEQUENCE_ variables.

Every key of config.yaml can be set as `SEQUENCE_<SECTION>__<KEY>`, a few by a short name too.
`SEQUENCE_HOME` names the folder in which `output_central/` lives (default: the checkout); config.yaml is
read from there, else from the checkout.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from core.clock import REPLAY_VARIABLE, replay_clock
from core.errors import SettingsError
from core.names import nearest
from core.schema import refusal_of

CHECKOUT = Path(__file__).resolve().parent.parent
PREFIX = "SEQUENCE_"
REAL_KEY_VARIABLE = "SEQUENCE_REAL_KEY"
# Variables that are no key of config.yaml.
_PLAIN_VARIABLES = ("SEQUENCE_HOME", "SEQUENCE_BRIDGE_KEY", REAL_KEY_VARIABLE, REPLAY_VARIABLE)
# Short names that stand for a key of config.yaml.
_ALIASES = {
    "SEQUENCE_YAHOO_BASE_URL": ("sources", "yahoo_base_url"),
    "SEQUENCE_GDELT_BASE_URL": ("sources", "gdelt_base_url"),
    "SEQUENCE_HISTDATA_BASE_URL": ("sources", "histdata_base_url"),
    "SEQUENCE_BRIDGE_PORT": ("bridge", "port"),
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GuiSettings(_Section):
    """Where the workbench listens."""

    host: str = "127.0.0.1"
    port: int = Field(8504, ge=1, le=65_535)


class StoreSettings(_Section):
    """How long a write waits for another process."""

    busy_timeout_seconds: float = Field(10.0, gt=0, le=600)


class DataSettings(_Section):
    """Limits of the validation rules, and the share of rows that fitted quantities may see."""

    train_fraction: float = Field(0.7, gt=0, le=1)
    minimum_rows: int = Field(100, ge=1)
    missing_limit_pct: float = Field(5.0, ge=0, le=100)
    price_low: float = Field(0.001, ge=0)
    price_high: float = Field(1_000_000.0, gt=0)
    volume_low: float = Field(0.0, ge=0)
    volume_high: float = Field(1_000_000_000.0, gt=0)
    outlier_sigmas: float = Field(3.0, gt=0)
    outlier_warn_pct: float = Field(2.0, ge=0, le=100)
    gap_warn_pct: float = Field(2.0, ge=0, le=100)
    gap_fail_pct: float = Field(20.0, ge=0, le=100)
    weekend_warn_pct: float = Field(0.5, ge=0, le=100)
    shift_warn_pct: float = Field(0.0, ge=0, le=100)
    shift_fail_pct: float = Field(50.0, ge=0, le=100)
    stale_minutes: float = Field(60.0, gt=0)
    spike_atr: float = Field(10.0, gt=0)
    zero_volume_minutes: float = Field(60.0, gt=0)
    source_limit_pct: float = Field(0.05, ge=0)
    source_warn_pct: float = Field(1.0, ge=0, le=100)
    source_fail_pct: float = Field(20.0, ge=0, le=100)
    csv_max_mib: float = Field(512.0, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> DataSettings:
        for low, high in (
            ("price_low", "price_high"),
            ("volume_low", "volume_high"),
            ("gap_warn_pct", "gap_fail_pct"),
            ("shift_warn_pct", "shift_fail_pct"),
            ("source_warn_pct", "source_fail_pct"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} must not be above {high}")
        return self


def _bare_url(url: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("a base URL begins with http:// or https://")
    return url.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_bare_url)]


class SourcesSettings(_Section):
    """Where the live sources are reached, and how patiently; Yahoo's several servers are one empty address."""

    yahoo_base_url: BaseUrl = ""
    gdelt_base_url: BaseUrl = "https://api.gdeltproject.org"
    histdata_base_url: BaseUrl = "https://www.histdata.com"
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    attempts: int = Field(4, ge=1, le=20)
    backoff_seconds: float = Field(2.0, ge=0, le=60)
    gdelt_pause_seconds: float = Field(5.5, ge=0, le=600)


class JobsSettings(_Section):
    """How many jobs run at once, how often one is tried, and after how long a silent worker counts as dead."""

    running: int = Field(2, ge=1, le=64)
    attempts: int = Field(3, ge=1, le=100)
    lease_seconds: float = Field(15.0, gt=0, le=3600)


class ParallelSettings(_Section):
    """Where work for many processors runs: processes of this machine, or the workers of a Dask scheduler."""

    scheduler: str = ""
    workers: int = Field(0, ge=0, le=1024)


class ScannerSettings(_Section):
    """How patterns are found, what each counts in a setup, and what a setup must have to be shown as one."""

    liquidity_lookback: int = Field(20, ge=2, le=10_000)
    swing_lookback: int = Field(10, ge=1, le=10_000)
    fvg_threshold: float = Field(0.0001, ge=0, le=1)
    order_block_body_ratio: float = Field(0.6, ge=0, le=1)
    timeframes: str = "M15, H1, H4, D1"
    scan_bars: int = Field(5_000, ge=100)
    weight_liquidity_sweep: float = Field(2.0, ge=0, le=100)
    weight_bos: float = Field(1.0, ge=0, le=100)
    weight_choch: float = Field(2.0, ge=0, le=100)
    weight_fvg: float = Field(1.0, ge=0, le=100)
    weight_order_block: float = Field(1.5, ge=0, le=100)
    weight_discount: float = Field(0.5, ge=0, le=100)
    weight_kill_zone: float = Field(0.5, ge=0, le=100)
    weight_against: float = Field(0.5, ge=0, le=100)
    higher_timeframe_factor: float = Field(1.5, gt=0, le=10)
    half_life_bars: float = Field(10.0, gt=0)
    maximum_age_bars: int = Field(50, ge=0)
    minimum_score: float = Field(4.0, gt=0)
    minimum_patterns: int = Field(2, ge=1, le=5)
    minimum_risk_reward: float = Field(1.5, ge=0)
    maximum_cost_to_atr: float = Field(0.25, gt=0)
    maximum_stop_atr: float = Field(4.0, gt=0)
    stop_buffer_atr: float = Field(0.1, ge=0)
    target_r: float = Field(2.0, gt=0)
    setup_bars: int = Field(24, ge=1)


class VolatilitySettings(_Section):
    """How pairs are ranked by their volatility, and how many of them are traded."""

    atr_period: int = Field(14, ge=1, le=10_000)
    min_threshold: float = Field(0.001, ge=0, lt=1)
    top_n_pairs: int = Field(10, ge=1)
    lookback_bars: int = Field(200, ge=2, le=100_000)


class TrainingSettings(_Section):
    """How many models are trained at once, in what room, how long one may serve, and what is sampled meanwhile."""

    running: int = Field(2, ge=1, le=64)
    memory_share: float = Field(0.8, gt=0, le=1)
    cpu_limit_pct: float = Field(95.0, gt=0, le=100)
    model_age_days: float = Field(90.0, ge=0)
    sample_seconds: float = Field(2.0, gt=0, le=600)
    keep_samples: int = Field(100_000, ge=100)


class BacktestSettings(_Section):
    """What the Backtesting page offers at first."""

    cash: float = Field(10_000.0, gt=0)
    spread_pips: float = Field(0.6, ge=0)
    commission_pct: float = Field(0.0, ge=0, lt=10)


class BridgeSettings(_Section):
    """Where the MetaTrader bridge listens, what it lets in, and how long it keeps ticks, leases and signals."""

    with_workbench: bool = True
    host: str = "127.0.0.1"
    port: int = Field(5000, ge=1, le=65_535)
    behind_tls: bool = False
    allowed_hosts: str = ""
    threads: int = Field(32, ge=1, le=256)
    one_core: bool = False
    max_body_mib: float = Field(16.0, gt=0, le=1024)
    ticks_per_second: int = Field(200_000, ge=1)
    waiting_ticks: int = Field(50_000, ge=1)
    stale_seconds: float = Field(60.0, gt=0)
    drift_seconds: float = Field(2.0, gt=0)
    keep_ticks_days: float = Field(90.0, ge=0)
    thin_ticks_days: float = Field(0.0, ge=0)
    lease_seconds: float = Field(15.0, gt=0, le=3600)
    signal_seconds: float = Field(300.0, gt=0)
    watched_folder: str = ""

    @model_validator(mode="after")
    def _bars_before_thinning(self) -> BridgeSettings:
        if 0 < self.thin_ticks_days < 2:
            raise ValueError("thin_ticks_days must be 0 or at least 2: bars are made of the whole ticks of a day")
        return self


class LiveSettings(_Section):
    """What deployments may trade at all."""

    allow_real: bool = False


class DisplaySettings(_Section):
    """How charts and exports look."""

    palette: Literal["green-red", "blue-orange"] = "green-red"
    chart_points: int = Field(2_000, ge=200, le=20_000)
    csv_decimal_comma: bool = False


class LogSettings(_Section):
    """What is logged, and how much of it is kept."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    max_mib: float = Field(10.0, gt=0)
    keep_files: int = Field(5, ge=1)
    keep_jobs: int = Field(200, ge=1)


class Settings(BaseSettings):
    """Everything that can be set, with its defaults; the sections are those of config.yaml."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )
    gui: GuiSettings = GuiSettings()
    store: StoreSettings = StoreSettings()
    data: DataSettings = DataSettings()
    sources: SourcesSettings = SourcesSettings()
    jobs: JobsSettings = JobsSettings()
    parallel: ParallelSettings = ParallelSettings()
    scanner: ScannerSettings = ScannerSettings()
    volatility: VolatilitySettings = VolatilitySettings()
    training: TrainingSettings = TrainingSettings()
    backtest: BacktestSettings = BacktestSettings()
    bridge: BridgeSettings = BridgeSettings()
    live: LiveSettings = LiveSettings()
    display: DisplaySettings = DisplaySettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """A variable beats the file; the file comes in as keyword arguments."""
        return env_settings, init_settings


def home() -> Path:
    """The folder in which `output_central/` lives."""
    chosen = os.environ.get("SEQUENCE_HOME")
    return Path(chosen).expanduser().resolve() if chosen else CHECKOUT


def output_folder() -> Path:
    """The folder that holds everything generated; it may not exist yet."""
    return home() / "output_central"


def input_file(path: str | Path) -> Path:
    """Where a user's file is read: a relative path under SEQUENCE_HOME first, then in the current folder."""
    under_home = home() / Path(path).expanduser()
    return under_home if under_home.exists() else Path(path).expanduser().resolve()


def config_file() -> Path | None:
    """The config.yaml in force: the one in SEQUENCE_HOME, else the checkout's; None where there is neither."""
    return next((folder / "config.yaml" for folder in (home(), CHECKOUT) if (folder / "config.yaml").is_file()), None)


def current_settings() -> Settings:
    """The settings in force now; the file is read again only after it, or a variable, has changed.

    Raises SettingsError naming the key, its value and the cure.
    """
    replay_clock()  # raises; a replay may set it anew at every step, for which no file is read again
    file = config_file()
    variables = tuple(
        sorted(
            (name, os.environ[name])
            for name in os.environ
            if name.upper().startswith(PREFIX) and name.upper() != REPLAY_VARIABLE
        )
    )
    return _load(file, file.stat().st_mtime_ns if file else 0, variables)


@lru_cache(maxsize=8)
def _load(file: Path | None, changed_ns: int, variables: tuple[tuple[str, str], ...]) -> Settings:
    _refuse_unknown_variables([name for name, _ in variables])
    content = _read_yaml(file, changed_ns) if file else {}
    try:
        return Settings(**_with_aliases(content, dict(variables)))
    except ValidationError as error:
        what, cure = refusal_of(error, Settings)
        raise SettingsError(f"{_origin(error, file)}: {what}", cure) from None


@lru_cache(maxsize=2)
def _read_yaml(file: Path, _changed_ns: int) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(
            f"{file}{place}: {getattr(error, 'problem', None) or 'this is not YAML'}.",
            "Check the indent (two spaces a level, no tabs) and the colon after each key.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read: {error}.", "Save it as UTF-8 text that you may read.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{file} holds {content!r} where sections were expected.", "Write 'section:' lines.")
    # A section whose keys are all commented out reads as None; it means the defaults.
    return {str(section): ({} if keys is None else keys) for section, keys in content.items()}


def _with_aliases(content: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
    """What the file says, overridden by the short names that are set. Raises SettingsError where two names differ."""
    for alias, (section, key) in _ALIASES.items():
        if alias not in variables:
            continue
        full = _variable(section, key)
        if variables.get(full, variables[alias]) != variables[alias]:
            raise SettingsError(
                f"{alias}={variables[alias]!r} and {full}={variables[full]!r} differ.", "They mean the same; set one."
            )
        given = content.get(section, {})
        content = {**content, section: {**given, key: variables[alias]} if isinstance(given, dict) else given}
    return content


def _variable(section: str, key: str) -> str:
    return f"{PREFIX}{section}__{key}".upper()


def _known_variables() -> list[str]:
    keys = [
        _variable(section, key)
        for section, field in Settings.model_fields.items()
        for key in getattr(field.annotation, "model_fields", {})
    ]
    return [*_PLAIN_VARIABLES, *_ALIASES, *keys]


def _refuse_unknown_variables(names: list[str]) -> None:
    known = _known_variables()
    for name in names:
        if name.upper() not in known:
            meant = nearest(name, known)
            suggestion = f"Did you mean {meant}? " if meant else ""
            raise SettingsError(
                f"The environment variable {name} is no setting of Sequence.", f"{suggestion}Rename or unset it."
            )


def _origin(error: ValidationError, file: Path | None) -> str:
    """Where the refused value came from: the variable that set it, else the file."""
    path = [str(part) for part in error.errors(include_url=False)[0]["loc"]]
    variable = _variable(*path[:2]) if len(path) > 1 else ""
    short = [alias for alias, key in _ALIASES.items() if list(key) == path[:2]]
    return next((name for name in (variable, *short) if name in {each.upper() for each in os.environ}), str(file))
