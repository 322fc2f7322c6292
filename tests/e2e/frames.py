"""Watches every frame of an answer that streams in: its blocks, and where its text stands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

from tests.support.structure import not_part_of

# Run in the page before the prompt is sent. `window.frames_` is the record: `states` are the
# different lists of leaves with how many frames showed each, a leaf being a stretch of text that
# one element holds, as [where, text]; `up` counts frames in which text stood higher than in the
# frame before, `changed` those in which text that was shown was replaced.
_RECORD = r"""
() => {
  const BLOCKS = "p, h3, h4, h5, h6, ul, ol, li, blockquote, pre, table, tr, th, td, hr, .block";
  const CJK = "\\u3000-\\u9fff\\uac00-\\ud7af\\uff00-\\uffef";
  const PIECES = new RegExp(`[${CJK}]|[^\\s${CJK}]+`, "g");
  const record = { frames: 0, up: 0, changed: 0, examples: [], states: {} };
  window.frames_ = record;
  let before = null;

  const places = new WeakMap();
  function placeOf(element) {
    if (!element.isConnected || element.classList.contains("text")) return "";
    const parent = element.parentElement.closest(`${BLOCKS}, .text`);
    const own = element.localName;
    // A list becomes loose by a blank line between its items: their text is in paragraphs then.
    if (own === "p" && parent.localName === "li") return placeOf(parent);
    if (element.classList.contains("block")) {
      return String([...parent.children].filter((e) => e.matches(".block")).indexOf(element));
    }
    const number = /^(li|tr|th|td)$/.test(own)
      ? [...element.parentElement.children].indexOf(element)
      : "";
    return `${placeOf(parent)}/${own}${number}`;
  }

  function look(text) {
    const top = text.getBoundingClientRect().top;
    const leaves = [];
    let chars = "";
    const tops = [];
    const range = document.createRange();
    const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    let home = null;
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (node.nodeType === Node.ELEMENT_NODE) {
        if (node.localName === "hr") leaves.push([placeOf(node), ""]);
        else if (/^(p|li|h\d|td|th|pre)$/.test(node.localName)) home = null;
        continue;
      }
      if (node.parentElement.closest("button")) continue;
      if (!node.data.trim()) continue;
      const owner = node.parentElement.closest(BLOCKS);
      if (owner !== home) leaves.push([placeOf(owner), ""]);
      home = owner;
      leaves.at(-1)[1] += node.data.replace(/\s+/g, "");
      for (const match of node.data.matchAll(PIECES)) {
        range.setStart(node, match.index);
        range.setEnd(node, match.index + match[0].length);
        const at = Math.round(range.getClientRects()[0]?.top - top);
        for (let i = 0; i < match[0].length; i++) tops.push(at);
        chars += match[0];
      }
    }
    return { leaves, chars, tops };
  }

  function compare(was, is) {
    let same = 0;
    const most = Math.min(was.chars.length, is.chars.length);
    while (same < most && was.chars[same] === is.chars[same]) same++;
    const note = (kind, at, more) => {
      if (record.examples.length < 20) {
        const around = [was, is].map(({ chars }) => chars.slice(Math.max(0, at - 20), at + 20));
        record.examples.push([kind, ...around, more]);
      }
    };
    if (same < was.chars.length) {
      record.changed++;
      note("changed", same, "");
    }
    for (let i = 0; i < same; i++) {
      if (is.tops[i] < was.tops[i] - 1) {
        record.up++;
        note("up", i, `${was.tops[i]} -> ${is.tops[i]}`);
        return true;
      }
    }
    return same < was.chars.length;
  }

  function frame() {
    const text = [...document.querySelectorAll(".answer .text")].at(-1);
    if (text?.textContent.trim()) {
      const now = look(text);
      const isTorn = before !== null && compare(before, now);
      before = now;
      record.frames++;
      const key = JSON.stringify(now.leaves);
      const state = (record.states[key] ??= { frames: 0, moved: 0 });
      state.frames++;
      state.moved += isTorn ? 1 : 0;
      record.last = now.leaves;
    }
    window.frameRequest_ = requestAnimationFrame(frame);
  }
  frame();
}
"""


@dataclass(frozen=True)
class Frames:
    """What was seen: numbers of frames, and one line for each kind of fault."""

    frames: int
    torn: int
    up: int
    changed: int
    strange: int
    """Frames with a block that the whole answer does not have."""
    faults: list[str]

    def __str__(self) -> str:
        share = 100 * self.torn / max(self.frames, 1)
        return (
            f"{self.frames} frames, {self.torn} torn ({share:.1f} %): {self.strange} with a block "
            f"that the answer does not have, {self.up} with text that moved up, {self.changed} "
            f"with text that was replaced"
        )


def record_frames(page: Page) -> None:
    """Watch the newest answer of the page from now on."""
    page.evaluate(_RECORD)


def recorded(page: Page) -> Frames:
    """What was seen until now; the answer on the page is whole."""
    record: dict[str, Any] = page.evaluate(
        """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => {
            cancelAnimationFrame(window.frameRequest_);
            resolve(window.frames_);
        })))"""
    )
    final = [tuple(leaf) for leaf in record["last"]]
    torn = strange = 0
    faults = [" | ".join(example) for example in record["examples"]]
    for key, state in record["states"].items():
        leaves = [tuple(leaf) for leaf in json.loads(key)]
        if fault := not_part_of(leaves, final):
            strange += state["frames"]
            torn += state["frames"]
            faults.append(fault)
        else:
            torn += state["moved"]
    return Frames(record["frames"], torn, record["up"], record["changed"], strange, faults[:20])
