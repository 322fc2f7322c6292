"""The engine that runs a model in this process, with torch and transformers."""

import os

# libgomp's threads spin while they wait for each other. Beside a busy event loop (or anything
# else on the same cores) the spinner takes the time that the awaited thread needs, and a step
# of 60 ms was measured to take 1 s and more. Must be set before torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from streaming.engine.local.engine import LocalEngine

__all__ = ["LocalEngine"]
