"""A disk that really fills while ticks come in: 507, reading goes on, and what was acknowledged is there afterwards."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

import workbench

# Fills its disk again and again, leaving a few bytes more or less, and sends until the bridge says so.
# Arguments: how often, and the seed.
ON_A_DISK_THAT_FILLS = """
import json, random, shutil, sqlite3, sys, time
from core.settings import output_folder
from mql5.api_server import create_app
from mql5.bridge.keys import key_file

rounds, chance = int(sys.argv[1]), random.Random(sys.argv[2])
app = create_app()
headers = {"X-API-Key": key_file().read_text().strip()}
client = app.test_client()
ballast = output_folder().parent / "ballast"
acknowledged, number = set(), 0

def post(path, body):
    return client.post(f"/api/v1{path}", json=body, headers=headers)

def send(count):
    global number
    numbers = range(number, number + count)
    number += count
    at = int(time.time() * 1000)
    ticks = [{"symbol": "EURUSD", "bid": 1.1, "ask": 1.2, "time_msc": at, "sequence": one, "volume": numbers[0]}
             for one in numbers]
    answer = post("/live_data/tick", {"source": "ea", "ticks": ticks})
    if answer.status_code == 200:
        assert answer.json["stored"] == count, answer.json
        acknowledged.update(numbers)
    return answer

def free():
    return shutil.disk_usage(ballast.parent).free

assert send(10).status_code == 200
signal = post("/signals/create", {"symbol": "EURUSD", "signal_type": "BUY"}).json["signal_id"]
for _ in range(rounds):
    ballast.write_bytes(b"x" * max(0, free() - chance.randrange(300_000)))
    refusal = None
    for _ in range(200):
        answer = send(chance.choice((1, 10, 100)))
        if answer.status_code != 200:
            refusal = answer
            break
    assert refusal is not None, free()
    said = [refusal.status_code, refusal.json["error"], refusal.json["cure"]]
    # Nothing that only reads is troubled.
    assert client.get("/api/v1/health").status_code == 200
    assert client.get("/api/v1/live_data/EURUSD?limit=5", headers=headers).json["count"] == 5
    assert client.get("/api/v1/signals/pending", headers=headers).json["count"] >= 1
    created = post("/signals/create", {"symbol": "EURUSD", "signal_type": "SELL"}).status_code
    assert created in {200, 507}, created  # some bytes may be left for it
    ballast.unlink()
    assert send(100).status_code == 200  # there is space now
    assert post("/signals/create", {"symbol": "EURUSD", "signal_type": "SELL"}).status_code == 200
    print(json.dumps(said))
app.extensions["bridge"].close()
with sqlite3.connect(output_folder() / "mql5_data.db") as database:
    stored = [row[0] for row in database.execute("SELECT sequence FROM live_ticks")]
    whole = database.execute("SELECT count(*), max(sequence) - min(sequence) + 1 FROM live_ticks GROUP BY volume")
    assert all(count == span for count, span in whole)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
assert len(stored) == len(set(stored))
assert set(stored) == acknowledged, (len(stored), len(acknowledged))
"""


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_a_full_disk_is_told_harms_no_reader_and_no_tick_that_was_acknowledged(
    small_disk: list[str], kills: int, chance: random.Random
) -> None:
    script = [sys.executable, "-W", "error", "-c", ON_A_DISK_THAT_FILLS]
    ended = subprocess.run(
        [*small_disk, *script, str(kills), str(chance.random())],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(workbench.__file__).parent,
    )
    assert ended.returncode == 0, f"{ended.stdout}{ended.stderr}"
    refusals = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("[")]
    assert len(refusals) == kills
    assert all(status == 507 and "full" in error and "Free some space" in cure for status, error, cure in refusals)
