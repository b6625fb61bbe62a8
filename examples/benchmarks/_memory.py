"""The memory of this process (Linux)."""

import re
from pathlib import Path


def resident(what="VmRSS"):
    """Get resident memory in MiB: "VmRSS" is the current value, "VmHWM" the peak."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+) kB", status)[1]) / 2**10
