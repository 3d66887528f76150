"""Rules about the machine."""

from __future__ import annotations

from stabsearch.forensics.facts.environment import EnvironmentFacts
from stabsearch.forensics.finding import Severity
from stabsearch.forensics.rules.book import RuleBook, Seen
from stabsearch.records import Cause

ENVIRONMENT: RuleBook[EnvironmentFacts] = RuleBook()
RESOURCES, PRECISION = ("resources", "gpus_per_trial"), ("search", "precision")
GIB = 2**30
LEAST_DISK = 50 * 2**20  # chosen: records, reports and tables of a sweep take a few megabytes
TIGHT = 0.8  # chosen: activations come on top


@ENVIRONMENT.rule(
    "STAB-E001", "no room for results", Severity.WARNING, Cause.UNKNOWN,
    symptom="`OSError: [Errno 28] No space left on device`, `PermissionError: [Errno 13] Permission denied`",
    fix="free some space, or choose another output_dir",
    key=("output_dir",),
)  # fmt: skip
def no_room(facts: EnvironmentFacts) -> Seen | None:
    """A copy of the weights is kept with each first bad batch; a trial writes little else."""
    if not facts.is_writable:
        return Seen(f"{facts.output_dir} cannot be written", severity=Severity.ERROR)
    if facts.free_disk is None:
        return None
    if facts.free_disk < LEAST_DISK:
        return Seen(
            f"{facts.free_disk / 2**20:.0f} MiB are free at {facts.output_dir}", severity=Severity.ERROR
        )
    needed = 2 * 4 * facts.num_weights
    if facts.free_disk >= needed:
        return None
    return Seen(
        f"{_gib(facts.free_disk)} are free at {facts.output_dir}, two copies of the weights {_gib(needed)}"
    )


@ENVIRONMENT.rule(
    "STAB-E002", "too little memory for the model", Severity.WARNING, Cause.UNKNOWN,
    symptom="`torch.OutOfMemoryError: CUDA out of memory`, or a process that is killed without a word",
    fix="use a smaller model, train fewer of its weights, or a larger machine",
    key=("task", "model"),
)  # fmt: skip
def too_little_memory(facts: EnvironmentFacts) -> Seen | None:
    """Weights, gradients and Adam's moments: 16 bytes per trained weight in fp32, activations on top."""
    if facts.free_memory is None or facts.needed_memory <= TIGHT * facts.free_memory:
        return None
    severity = Severity.ERROR if facts.needed_memory > facts.free_memory else None
    text = f"weights, gradients and Adam need {_gib(facts.needed_memory)}, {_gib(facts.free_memory)} are free"
    return Seen(text, severity=severity)


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / GIB:.3g} GiB"


@ENVIRONMENT.rule(
    "STAB-E003", "a GPU that is not used", Severity.INFO, Cause.UNKNOWN,
    symptom="`nvidia-smi` shows 0 % while it trains",
    fix="set resources.gpus_per_trial: 1",
    key=RESOURCES,
)  # fmt: skip
def unused_gpu(facts: EnvironmentFacts) -> Seen | None:
    """It trains on the CPU beside a GPU."""
    return Seen("this machine has a GPU, and it would train on the CPU") if facts.has_unused_gpu else None


@ENVIRONMENT.rule(
    "STAB-E004", "a precision that would not be real", Severity.ERROR, Cause.SETTINGS_NOT_APPLIED,
    symptom="nothing: with fp16=True on a CPU Transformers trains in fp32 without a word",
    fix="use bf16, or a GPU",
    key=PRECISION,
)  # fmt: skip
def unreal_precision(facts: EnvironmentFacts) -> Seen | None:
    """What was measured would be another precision's."""
    if "fp16" in facts.precisions and not facts.runs_fp16:
        return Seen("fp16 on this device silently trains in fp32")
    if "tf32" in facts.precisions and not facts.runs_tf32:
        return Seen("tf32 needs a CUDA device of compute capability 8.0 or newer")
    return None


@ENVIRONMENT.rule(
    "STAB-E005", "bf16 without hardware for it", Severity.INFO, Cause.UNKNOWN,
    symptom="bf16 trains several times slower than fp32",
    fix="expect slow trials, or leave bf16 out",
    key=PRECISION,
)  # fmt: skip
def emulated_bf16(facts: EnvironmentFacts) -> Seen | None:
    """The numbers are right, and come slowly."""
    if facts.runs_bf16_fast or not {"bf16", "bf16-pure"}.intersection(facts.precisions):
        return None
    return Seen("this device has no bf16 instructions: bf16 is emulated")


@ENVIRONMENT.rule(
    "STAB-E006", "a tracking store that cannot be used", Severity.ERROR, Cause.UNKNOWN,
    symptom="`MlflowException: API request failed`, `Connection refused`",
    fix="start or correct it; tracking.required: false delivers later; without tracking.uri the sweep keeps "
    "its own mlflow.db",
    key=("tracking", "uri"),
)  # fmt: skip
def unusable_tracking(facts: EnvironmentFacts) -> Seen | None:
    """Asked for a connection, or for a folder that can be written."""
    return Seen(facts.tracking_problem) if facts.tracking_problem else None
