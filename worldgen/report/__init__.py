"""Report: how consistent a world is, where it drifts, and what it cost.

Room: worldgen. The command line and scripts use it. ``measures`` walks through a world, ``summary`` puts
together what was measured, ``page`` and ``plots`` make one HTML page of it.
"""

from worldgen.report.measures import Measured, Return, Revisit
from worldgen.report.page import page_of
from worldgen.report.summary import Report, report_on, steps_of

__all__ = [
    "Measured",
    "Report",
    "Return",
    "Revisit",
    "page_of",
    "report_on",
    "steps_of",
]
