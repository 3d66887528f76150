"""Every planted fault and every healthy control, by name."""

from experiments.fault_gallery.fault import Fault
from experiments.fault_gallery.faults import (
    collating,
    controls,
    ignored,
    initialisation,
    label_types,
    labels,
    learning_rate,
    losses,
    optimizer,
    precision,
    rows,
    targets,
    transient,
)

_FAMILIES = (
    labels,
    label_types,
    targets,
    rows,
    ignored,
    collating,
    losses,
    precision,
    learning_rate,
    initialisation,
    optimizer,
    transient,
)
FAULTS: dict[str, Fault] = {fault.name: fault for family in _FAMILIES for fault in family.FAULTS}
CONTROLS: dict[str, Fault] = {control.name: control for control in controls.CONTROLS}
GALLERY = {**FAULTS, **CONTROLS}
