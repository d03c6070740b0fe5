"""The address /live for a server's very first request; ARCHITECTURE.md, "Deep links", says why."""

from pathlib import Path
from runpy import run_path

run_path(str(Path(__file__).resolve().parents[1] / "app.py"))
