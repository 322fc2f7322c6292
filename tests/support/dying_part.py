"""A part of the benchmark that leaves a process behind and dies, or hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn


def measure(options: object) -> NoReturn:
    """`DYING_PART_LEFT` names the file for the id of what it leaves; without it, it hangs."""
    told = os.environ.get("DYING_PART_LEFT")
    while not told:
        time.sleep(60)
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(told).write_text(str(left.pid))
    os._exit(7)
