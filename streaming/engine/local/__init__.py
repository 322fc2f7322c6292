"""The engine that runs a model in this process, with torch and transformers."""

import os

# libgomp's threads spin while they wait for each other, by default for long. Beside a busy event
# loop (or anything else on the same cores) a spinning thread takes the time that the awaited one
# needs, and a step of 60 ms was measured to take 1 s and more. Threads that sleep at once are no
# faster than one thread alone. So they spin for a moment, and `forward.thread_tuner` finds out when
# one thread is better. Must be set before torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Prompts are tokenized on one core: the others are for the step.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from streaming.engine.local.engine import LocalEngine

__all__ = ["LocalEngine"]
