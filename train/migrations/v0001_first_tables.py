"""First tables: training jobs, their epochs, samples of the machine, model versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store import JSON, REAL, TEXT, WHOLE
from core.tables import job_columns


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "training_jobs",
        *job_columns(),
        sa.Column("job_id", TEXT, nullable=False, unique=True),
        sa.Column("model_name", TEXT, nullable=False),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("dataset_hash", TEXT, nullable=False),
        sa.Column("epochs", WHOLE, nullable=False),
        sa.Column("current_epoch", WHOLE, nullable=False),
        sa.Column("best_epoch", WHOLE),
        sa.Column("best_metric", REAL),
        sa.Column("metric_name", TEXT),
        sa.Column("memory_mib", REAL, nullable=False),
        sa.Column("device", TEXT),
        sa.Column("seconds", REAL, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("training_jobs_by_turn", "training_jobs", ["status", sa.text("priority DESC"), "id"])
    op.create_table(
        "training_epochs",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("training_id", WHOLE, sa.ForeignKey("training_jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("fold", WHOLE, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("attempt", WHOLE, nullable=False),
        sa.Column("stored_at", TEXT, nullable=False),
        sa.Column("train_loss", REAL),
        sa.Column("validation_loss", REAL),
        sa.Column("metric", REAL),
        sa.Column("metric_name", TEXT, nullable=False),
        sa.Column("learning_rate", REAL),
        sa.Column("seconds", REAL, nullable=False),
        sa.Column("samples_per_second", REAL),
        sa.Column("is_best", WHOLE, nullable=False),
        sa.UniqueConstraint("training_id", "fold", "epoch"),
        sqlite_strict=True,
    )
    op.create_table(
        "gpu_stats",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("timestamp", TEXT, nullable=False),
        sa.Column("training_id", WHOLE),
        sa.Column("cpu_percent", REAL, nullable=False),
        sa.Column("memory_percent", REAL, nullable=False),
        sa.Column("process_memory_mb", REAL),
        sa.Column("gpu_id", WHOLE),
        sa.Column("gpu_uuid", TEXT),
        sa.Column("name", TEXT),
        sa.Column("memory_total_mb", REAL),
        sa.Column("memory_used_mb", REAL),
        sa.Column("memory_allocated_mb", REAL),
        sa.Column("memory_reserved_mb", REAL),
        sa.Column("utilization_percent", REAL),
        sa.Column("temperature_celsius", REAL),
        sa.Column("power_watts", REAL),
        sqlite_strict=True,
    )
    op.create_index("gpu_stats_by_time", "gpu_stats", ["timestamp"])
    op.create_index("gpu_stats_by_job", "gpu_stats", ["training_id", "id"])
    op.create_table(
        "model_versions",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("task", TEXT, nullable=False),
        sa.Column("version", WHOLE, nullable=False),
        sa.Column("stage", TEXT, nullable=False),
        sa.Column("job_id", TEXT, nullable=False),
        sa.Column("model_name", TEXT, nullable=False),
        sa.Column("symbol", TEXT, nullable=False),
        sa.Column("timeframe", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("dataset_version_id", WHOLE, nullable=False),
        sa.Column("dataset_hash", TEXT, nullable=False),
        sa.Column("folder", TEXT, nullable=False),
        sa.Column("files", JSON, nullable=False),
        sa.Column("metric_name", TEXT, nullable=False),
        sa.Column("metric", REAL),
        sa.Column("baseline_metric", REAL),
        sa.Column("card", JSON, nullable=False),
        sa.Column("promoted_at", TEXT),
        sa.Column("replaced_id", WHOLE),
        sa.Column("note", TEXT),
        sa.UniqueConstraint("task", "version"),
        sqlite_strict=True,
    )
    op.create_index(
        "model_versions_one_champion",
        "model_versions",
        ["task"],
        unique=True,
        sqlite_where=sa.text("stage = 'champion'"),
    )
