"""The languages whose code is shown in colours.

Pygments has six hundred lexers, written by as many people; some of them take years for a line of
forty blanks. Those of these names were tried with hostile code (`tests/unit/test_languages.py`).
Some still go over the same text again and again: for them less is long.
"""

from __future__ import annotations

_NAMES = """
apacheconf asm awk bash bat batch c c# c++ cfg clj clojure cmake coffee coffeescript common-lisp
console cpp cs csharp css cuda d dart delphi diff django docker dockerfile dosbatch elisp elixir
emacs-lisp erlang ex f# f90 fortran fsharp gas gawk gdscript glsl go golang graphql groovy haskell
hcl hlsl hs html html+django html+jinja ini java javascript jinja jl js json json5 jsx julia kotlin
latex less lisp lua make makefile markdown matlab md mysql nasm nginx nim nix obj-c objc objective-c
objectivec ocaml octave pascal perl php pl postgres postgresql powershell prolog properties proto
protobuf ps1 pwsh py py3 pycon pytb python python3 r racket rb react rs ruby rust sass scala scheme
scm scss sh shell shell-session sql sqlite3 swift systemverilog terraform tex tf toml ts tsx
typescript udiff vb.net vbnet verilog vhdl vim vue wgsl xml yaml yml zig zsh
"""

LANGUAGES = frozenset(_NAMES.split())
"""Names that people and models write after a fence, in small letters."""

MOST_CHARS = {"java": 4_000, **dict.fromkeys(("csharp", "cs", "c#"), 2_500)}
"""How much of them is not long yet, where it is less than for the others."""
