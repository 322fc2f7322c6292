"""The engine that forwards to an OpenAI-compatible server: vLLM, SGLang, TGI, llama.cpp, Ollama.

What is different from a model in this process:

- **Text, no tokens.** The server applies its chat template to the messages, so that special tokens
  in what a person typed are its affair. It gives no token ids: each piece counts as one token, or
  as what its `usage` says, and all are `UNKNOWN_TOKEN`. The `usage` at the end counts.
- **Continuing.** After a lost worker or a connection that broke mid-answer, the text so far is sent
  as the last message, the assistant's, to be continued (`continue_final_message`; Ollama does so
  without it). Readers see one answer without a repeat or a hole. With a server that cannot do this
  the answer begins anew: `Started` with `anew`, and so a second `response.in_progress`, which voids
  the text before it. A request that continues an answer is then an error, since nothing of it may
  be voided.
- **One break.** A stream that breaks is taken up again once; the second break fails the response.
  A server that is away or busy (429, 503) is waited for, with backoff, for `patience_seconds`; the
  response keeps its place meanwhile, and whatever it said.
- **Health.** `GET /models` is asked every few seconds. While it does not answer,
  `unavailable_reason` says so and the worker claims nothing.
- **Besides the text**, `tools` and the like are passed on, and what comes of them comes back
  (`engine.passed`). Such an answer is not gone on with in the middle.
- **Fields** that a server refuses (`top_k`, `repetition_penalty`, `stream_options`, `seed`) are
  left out from then on.
"""

from streaming.engine.upstream.engine import UpstreamEngine

__all__ = ["UpstreamEngine"]
