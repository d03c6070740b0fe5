"""What happens to a file between its upload and its collection."""

from __future__ import annotations

import os
from pathlib import Path

from data.sources.uploads import forget_upload, keep_upload


def test_an_upload_keeps_its_name_and_its_bytes() -> None:
    kept = keep_upload("EURUSD H1.csv", b"time,open")
    assert (kept.name, kept.read_bytes()) == ("EURUSD_H1.csv", b"time,open")
    assert keep_upload("EURUSD H1.csv", b"time,open") == kept


def test_no_name_leads_out_of_the_folder(home: Path) -> None:
    for name in ("../../evil.csv", "/etc/passwd", "..\\..\\evil.csv", "..", ""):
        kept = keep_upload(name, b"x")
        assert kept.resolve().is_relative_to(home / "output_central" / "uploads")


def test_a_collected_upload_goes_and_a_file_of_the_users_own_stays(tmp_path: Path) -> None:
    kept, own = keep_upload("bars.csv", b"x"), tmp_path / "bars.csv"
    own.write_bytes(b"x")
    forget_upload(kept)
    forget_upload(own)
    assert not kept.exists()
    assert own.exists()


def test_an_upload_nobody_collected_goes_after_a_day() -> None:
    old = keep_upload("old.csv", b"old")
    os.utime(old.parent, (0, 0))
    new = keep_upload("new.csv", b"new")
    assert (old.exists(), new.exists()) == (False, True)
