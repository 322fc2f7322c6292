"""`manage.py checkmodel`: whether a model can be served, how, and if not, why."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError

from streaming import conf
from streaming.engine.base import EngineError
from streaming.engine.models.report import ModelReport
from streaming.engine.models.report_text import LabelledValues, sections, size, verdict
from streaming.engine.trial_run import TrialRun, try_out
from streaming.system.escaping import one_line

_OPTIONS = ("model", "adapter", "chat_template", "context_tokens", "device", "dtype", "max_running")
_PROMPT = "What is the capital of France? Answer in one sentence."
_RESTS = {"length": " (as long as it may be)"}


class Command(BaseCommand):
    """Examines a model, and reports what was found."""

    help = (
        "Say from the headers of a model's files whether it can be served here: layers, pass, "
        "context, memory, sampling, chat template, and all that stands in the way. Exit with 0 if "
        "it can, else with 1."
    )
    requires_system_checks: list[str] = []  # of the settings, only those of the model count

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "model", nargs="?", metavar="MODEL",
            help="Hub id, folder or .gguf file (default: CHATSTREAM_MODEL)",
        )  # fmt: skip
        for name, setting, shown in (
            ("--adapter", "adapter", "ADAPTER"),
            ("--chat-template", "chat_template", "FILE"),
            ("--context", "context_tokens", "TOKENS"),
            ("--device", "device", "DEVICE"),
            ("--dtype", "dtype", "DTYPE"),
            ("--rows", "max_running", "ROWS"),
        ):
            parser.add_argument(
                name, dest=setting, metavar=shown,
                help=f"instead of {conf.PREFIX}{setting.upper()}",
            )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument(
            "--run", action="store_true",
            help="load it, compare it with transformers' own pass, and ask it a question",
        )  # fmt: skip
        parser.add_argument("--prompt", help=f"the question (default: {_PROMPT!r})")
        parser.add_argument(
            "--max-tokens", type=int, default=64, help="most tokens of its answer (default: 64)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine, and exit with 0 if the model can be served, else with 1 and the reason."""
        try:
            self.examine(options)
        except EngineError as error:
            raise CommandError(one_line(str(error))) from None
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=130) from None

    def examine(self, options: dict[str, Any]) -> None:
        """Examine the model, try it out if asked to, and write the report.

        Raises EngineError and CommandError.
        """
        chosen = _chosen(options)
        runs = options["run"] or options["prompt"] is not None
        if runs and options["max_tokens"] < 1:
            raise CommandError("--max-tokens is at least 1.")
        if runs and not (options["prompt"] or _PROMPT).strip():
            raise CommandError("--prompt is empty.")
        from streaming.engine.local import LocalEngine  # brings torch, which takes seconds

        engine = LocalEngine(
            chosen.model or None, device=chosen.device, dtype=chosen.dtype,
            max_running=chosen.max_running, context_tokens=chosen.context_tokens or None,
            cache_dir=chosen.cache_dir, chat_template=chosen.chat_template,
            adapter=chosen.adapter or None, fresh=True,
        )  # fmt: skip
        report = engine.examine()
        run = None
        if not options["json"]:
            self.show(report)
        if report.served and runs:
            try:
                run = try_out(engine, options["prompt"] or _PROMPT, options["max_tokens"])
            except EngineError as error:
                report.faults = [str(error)]
        if options["json"]:
            told = {**report.as_dict(), "run": asdict(run) if run else None}
            self.stdout.write(json.dumps(told, indent=2))
        elif run:
            self.show_run(run)
        if not report.served:
            if not options["json"]:
                self.section("Why not", [("", fault) for fault in report.faults])
            raise CommandError(one_line(verdict(report)))
        if not options["json"]:
            self.stdout.write(f"\n{one_line(verdict(report))}")

    def show(self, report: ModelReport) -> None:
        """Write what the examination found."""
        self.stdout.write(one_line(report.name))
        for heading, rows in sections(report):
            if rows:
                self.section(heading, rows)

    def show_run(self, run: TrialRun) -> None:
        """Write how the trial run went."""
        thought = f", {run.reasoning_tokens} of them thought" if run.reasoning_tokens else ""
        self.section(
            "Trial run",
            [
                ("loaded in", f"{run.load_seconds:.2f} s"),
                ("compared in", f"{run.check_seconds:.2f} s with transformers' own pass"),
                (
                    "first token",
                    f"after {run.first_seconds:.3f} s ({run.prompt_tokens} of the prompt)",
                ),
                ("tokens", f"{run.tokens}{thought}, {run.per_second:.1f} a second"),
                ("most memory", size(run.peak_bytes) if run.peak_bytes else "not known"),
                *([("thought", run.reasoning)] if run.reasoning else []),
                ("answer", run.text + _RESTS.get(run.ended, "")),
            ],
        )

    def section(self, heading: str, rows: LabelledValues) -> None:
        """Write a heading and its rows, with their values in one column."""
        self.stdout.write(f"\n{one_line(heading)}")
        width = max((len(label) for label, _ in rows), default=0)
        for label, value in rows:
            for line in value.splitlines() or [""]:  # names and words of strangers, and a model's
                self.stdout.write(f"  {label:{width}}{'  ' if width else ''}{one_line(line)}")
                label = ""


def _chosen(options: dict[str, Any]) -> conf.ChatStreamSettings:
    """Return the settings, with what the options say in their place. Raises CommandError."""
    raw = {
        name: value
        for name, value in settings.CHATSTREAM.items()
        if name in (*_OPTIONS, "cache_dir")
    }
    asked = {name: options[name] for name in _OPTIONS if options[name] is not None}
    if settings.CHATSTREAM.get("upstream_url") and "model" not in asked:
        raise CommandError(
            "CHATSTREAM_UPSTREAM_URL is set, so another server has the model and none is loaded "
            "here. checkmodel is about models of this machine: name one to check it all the same."
        )
    if faults := conf.faults({**raw, **asked}):
        raise CommandError("\n".join(faults))
    return conf.ChatStreamSettings.model_validate({**raw, **asked})
