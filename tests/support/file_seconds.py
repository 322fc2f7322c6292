"""Write down what the files of tests take, for `mixed_order`, by what a run has recorded:

python -m pytest --junitxml=run.xml
python -m tests.support.file_seconds run.xml
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from xml.etree import ElementTree

from tests.support.mixed_order import NOT_LONG, SECONDS


def of_run(xml: str) -> dict[str, float]:
    """Return the seconds of the files that took long, the longest first."""
    took: Counter[str] = Counter()
    for case in ElementTree.fromstring(xml).iter("testcase"):
        took[f"{case.attrib['classname'].replace('.', '/')}.py"] += float(case.attrib["time"])
    return {path: round(seconds) for path, seconds in took.most_common() if seconds > NOT_LONG}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as run:
        SECONDS.write_text(json.dumps(of_run(run.read()), indent=0) + "\n")
