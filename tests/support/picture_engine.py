"""An engine for the pictures of docs/: a fake that says what a good model would."""

from __future__ import annotations

from dataclasses import replace

from streaming.engine.base import Channel, GenerationRequest, ModelInfo, TextDelta
from tests.support.fake_engine import ProcessEngine, _Row, pieces

CODE = "```"

ANSWERS = {
    "loan": rf'''Each month you pay the same sum $M$, of which a part is interest:

$$M = P\,\frac{{r\,(1+r)^n}}{{(1+r)^n - 1}}$$

Here $P$ is the loan, $r$ the interest of one month and $n$ the number of months.

For 200,000 at 3 % a year:

| Years | Monthly | Interest in all |
|------:|--------:|----------------:|
| 15    | 1,381   | 48,609          |
| 20    | 1,109   | 66,207          |
| 30    | 843     | 103,555         |

{CODE}python
def monthly(loan: float, rate: float, months: int) -> float:
    """What a loan costs each month, at a yearly `rate`."""
    r = rate / 12
    return loan * r * (1 + r) ** months / ((1 + r) ** months - 1)
{CODE}
''',
    "train": """The trains meet at **10:45**, 180 km from Lyon.

- Until 10:00 the first train has come 120 km, so 300 km are left between the two.
- Together they close 120 + 280 = 400 km in an hour.
- 300 km take three quarters of an hour.
""",
    "tides": """Because the moon pulls the near side of the Earth more than its centre, and
the centre more than the far side. The water bulges on both sides, and the Earth turns under the two
bulges once a day: two high tides.
""",
    "俳句": """**古池に月ひとつ落つ秋深し**

季語は「秋深し」です。秋も終わりに近づき、草木や空気に寂しさが増す晩秋を表します。

- **古池** 長い時間を経た静けさを表します。
- **月ひとつ落つ** 水面に映る月を、池に落ちたものと見立てました。
- **切れ** 句の終わりで言い切り、余韻を残します。
""",
}
"""By a word of the prompt."""

THOUGHTS = {
    "train": "Train A leaves at 8:00 and runs at 60 km/h. By 10:00 it has come 120 km of 420. "
    "300 km are left. From then on both move: 120 and 280 km/h, 400 together. "
    "300 / 400 = 0.75 h, that is 45 minutes. So they meet at 10:45. "
    "Check: 120 + 0.75 * 120 = 210 from Paris, and 420 - 210 = 210. Fine.",
}


class PictureEngine(ProcessEngine):
    """Streams the answer of `ANSWERS` to a prompt, after its thought. Other answers are words, and
    the longer the longer their prompt is."""

    @property
    def info(self) -> ModelInfo:
        sampling = {"temperature": 0.7, "top_p": 0.9}
        return replace(super().info, name="example-8b-instruct", context_tokens=32_768,
                       dtype="bfloat16", parameters=8_000_000_000, sampling=sampling)  # fmt: skip

    def submit(self, request: GenerationRequest) -> None:
        super().submit(request)
        row = self.rows[request.response_id]
        if subject := subject_of(row.prompt):
            row.prompt = f"say {ANSWERS[subject]}"
            row.thought = len(pieces(THOUGHTS.get(subject, "")))
        else:
            row.prompt = f"stop {60 + 4 * len(row.prompt)}"

    def _step(self, row: _Row):  # type: ignore[no-untyped-def]
        *_, last = row.request.messages
        thought = pieces(THOUGHTS.get(subject_of(last.content), ""))
        for event in super()._step(row):
            if isinstance(event, TextDelta) and event.channel is Channel.REASONING:
                event = replace(event, text=thought[event.tokens[0]])
            yield event


def subject_of(prompt: str) -> str:
    """Find the key of `ANSWERS` that a prompt is about, or nothing."""
    return next((subject for subject in ANSWERS if subject in prompt), "")
