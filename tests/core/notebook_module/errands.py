"""A toy queue with work of every temper, as the floors above register theirs; tests and job processes import it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import sqlalchemy as sa

from core.errors import InputError
from core.jobs import JobQueue, JobRegistry, Kind, RunningJob
from core.store import TEXT, WHOLE, Module, Store, strict_table
from core.tables import job_table

metadata = sa.MetaData()
errands = job_table("errands", metadata)
parcels = strict_table(
    "parcels", metadata, sa.Column("id", WHOLE, primary_key=True), sa.Column("words", TEXT, nullable=False)
)
store = Store(Module("errands", 0x5E07_E58, metadata, Path(__file__).parent / "errand_migrations"))
queue = JobQueue("errands", store, errands)


def deliver(job: RunningJob) -> None:
    """Store one parcel and succeed with it."""
    job.tell(0.5, "on the way")
    with store.write() as connection:
        connection.execute(parcels.insert(), {"words": str(job.arguments["words"])})
        job.succeed(connection, {"words": job.arguments["words"]}, "delivered")


def count(job: RunningJob) -> None:
    """Count to `steps` slowly, remembering each; the parcel tells every number that was ever counted."""
    steps = job.arguments["steps"]
    for step in range(job.checkpoint.get("counted", 0), steps):
        time.sleep(job.arguments.get("seconds", 0.02))
        job.tell(step / steps, f"{step} of {steps}")
        job.save(counted=step + 1, seen=[*job.checkpoint.get("seen", []), step])
    with store.write() as connection:
        connection.execute(parcels.insert(), {"words": ",".join(map(str, job.checkpoint["seen"]))})
        job.succeed(connection, {"counted": steps})


def wait(job: RunningJob) -> None:
    """Never end."""
    job.tell(0.1, "waiting")
    while True:
        time.sleep(60)


def compute(job: RunningJob) -> None:
    """Never end, deaf to a polite request: one long call that no signal handler interrupts."""
    job.tell(0.1, "computing")
    sum(range(10**12))


def refuse(job: RunningJob) -> None:
    """Fail in a sentence of our own."""
    raise InputError(f"{job.arguments['words']} cannot be delivered.", "Write the address.")


def stumble(job: RunningJob) -> None:
    """Fail as nobody foresaw."""
    raise ZeroDivisionError(f"password={job.arguments['words']}")


def die(job: RunningJob) -> None:
    """Be killed, every time."""
    os._exit(9)


def forget(job: RunningJob) -> None:
    """End without committing anything."""


def parcels_delivered() -> list[str]:
    """The words of every parcel, oldest first."""
    return [row["words"] for row in store.rows(sa.select(parcels).order_by(parcels.c.id))]


_NAMES = ("deliver", "count", "wait", "compute", "refuse", "stumble", "die", "forget")
REGISTRY = JobRegistry(
    "errands:REGISTRY",
    {"errands": queue},
    {
        "errands": {
            **{name: Kind(name, f"errands:{name}", at_once=1 if name == "wait" else 4) for name in _NAMES},
            "watch": Kind("watch", "errands:wait", at_once=3, lasting=True),
        }
    },
)
