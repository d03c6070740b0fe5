"""One job in a process of its own: `python -m core.child core.job_process REGISTRY QUEUE KIND ID ATTEMPT`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from core.errors import SequenceError
from core.jobs import JobFunction, JobLostError, JobRegistry, RunningJob
from core.log import configure_logging, get_logger, redact

_NAME = "core.job_process"  # __name__ is __main__ in the process of a job


def run_job(function: JobFunction, job: RunningJob) -> None:
    """Do the work and see that it ends in a status: its own success, or failure in a sentence."""
    logger = get_logger(_NAME).bind(job=job.id)
    logger.info("job begins", title=job.title)
    try:
        function(job)
        if not job.succeeded:
            raise RuntimeError(f"{function.__module__}.{function.__qualname__} ended without committing its success")
        logger.info("job succeeded")
    except JobLostError as lost:
        logger.warning("job lost", reason=str(lost))
    except SequenceError as error:
        logger.warning("job failed", what=error.what, cure=error.cure)
        _fail(job, error.what, error.cure)
    except Exception as error:
        logger.exception("job failed unforeseen")
        what = redact(f"{type(error).__name__}: {error}")
        _fail(job, f"Sequence met an error it does not know: {what}", "The job's log file has the details.")


def _fail(job: RunningJob, what: str, cure: str) -> None:
    try:
        job.fail(what, cure)
    except JobLostError:
        get_logger(_NAME).warning("job was lost before its failure could be told", job=job.id)


def log_name(queue: str, job_id: int) -> str:
    """The log of a job, as `configure_logging` names it: `logs/jobs/data-12.jsonl`."""
    return f"jobs/{queue}-{job_id}"


def find(path: str) -> Any:
    """What `module:name` names."""
    module, name = path.split(":")
    return getattr(import_module(module), name)


def main() -> None:
    """Run the job named on the command line; the registry says which function its kind stands for."""
    path, queue_name, kind_name, job_id, attempt = sys.argv[1:]
    configure_logging(log_name(queue_name, int(job_id)))
    registry: JobRegistry = find(path)
    job = registry.queues[queue_name].begin(int(job_id), int(attempt))
    run_job(find(registry.kind(queue_name, kind_name).target), job)


if __name__ == "__main__":
    main()
