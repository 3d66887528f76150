"""Names under which a sweep keeps what Optuna knows nothing of, in the study and in its trials."""

PLAN, RECORD, STARTS = "stabsearch.plan", "stabsearch.record", "stabsearch.starts"
LOSSES, NODE_LOSSES = "stabsearch.losses", "stabsearch.node_losses"
VOID = "stabsearch.void"
"""True for a trial that was killed before it had a plan."""
SWEEP_ID, SWEEP = "stabsearch.sweep_id", "stabsearch.sweep"
END = "stabsearch.end"
"""How the last run of a sweep ended; empty while one is at work, or was killed."""
