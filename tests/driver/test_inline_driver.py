"""The inline driver owes its source the same as any other."""

from __future__ import annotations

from stabsearch.driver.base import Driver, WorkOrder
from stabsearch.driver.inline import InlineDriver
from stabsearch.testing.driver_conformance import DriverConformance


class TestInlineDriver(DriverConformance):
    """Everything but surviving the end of its own process."""

    def make_driver(self, order: WorkOrder) -> Driver:
        return InlineDriver(order)
