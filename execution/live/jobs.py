"""The job of a deployment: a process that lives until the deployment is stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from core.errors import SequenceError, TryAgainError
from core.jobs import JobQueue, RunningJob
from core.log import get_logger
from execution.live import tables
from execution.live.deployments import STOPPED, change_deployment, store

TURN_SECONDS = 0.5
# However often its process is killed, a deployment goes on: nothing but its owner ends it.
_ATTEMPTS = 1_000_000_000


class DeploymentQueue(JobQueue):
    """The queue of deployments."""

    def own_columns(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """No number of kills interrupts a deployment."""
        return {"attempts_allowed": _ATTEMPTS}


queue = DeploymentQueue("trading", store, tables.jobs)


def deployment(job: RunningJob) -> None:
    """Step until the deployment is stopped. A busy database is waited for; any other error ends the job, in words.

    The deployment's own words say so too: its page would tell no more than that nobody works on it.
    """
    from execution.live.runner import Runner  # pages know the queue, and need none of this

    runner = Runner(job.arguments["deployment_id"], fence=lambda connection: job.enter(connection, progress=0.0))
    logger = get_logger(__name__)
    while True:
        try:
            now = runner.step()
        except TryAgainError as error:
            logger.warning("deployment held up", what=error.what)
        except SequenceError as error:
            words = f"job {job.id} failed: {error.what} Mend it, then begin again."
            with suppress(SequenceError):  # the database itself may be what failed
                change_deployment(job.arguments["deployment_id"], state_words=words)
            raise
        else:
            if now.state == STOPPED:
                job.succeed_alone({"deployment": now.id}, now.state_words)
                return
            job.tell(0.0, now.state_words)
        time.sleep(TURN_SECONDS)
