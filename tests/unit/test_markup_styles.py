"""Code can be read in both themes, and every class of the HTML that needs a rule has one."""

import re
from pathlib import Path

import pytest

from streaming.markup import render

STYLES = Path(__file__).parents[2] / "static/streaming/chat/code.css"
THEMES = {
    "light": ":root {",
    "dark by the system": ':root:not([data-theme="light"]) {',
    "dark by choice": ':root[data-theme="dark"] {',
}


def colours(theme):
    """The custom properties of a theme, as {name: (red, green, blue)}."""
    styles = STYLES.read_text()
    block = styles.split(THEMES[theme], 1)[1].split("}", 1)[0]
    found = re.findall(r"--code-([a-z]+): #([0-9a-f]{6});", block)
    return {name: tuple(bytes.fromhex(value)) for name, value in found}


def luminance(colour):
    """Relative luminance, as WCAG 2 defines it."""
    shares = [part / 255 for part in colour]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_defined():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((0x76, 0x76, 0x76), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
def test_every_colour_of_code_can_be_read(theme):
    named = colours(theme)
    background = named.pop("bg")
    assert len(named) > 8
    poor = {name: contrast(value, background) for name, value in named.items()}
    assert {name: ratio for name, ratio in poor.items() if ratio < 4.5} == {}


def test_both_dark_themes_are_one():
    assert colours("dark by the system") == colours("dark by choice")


def test_the_themes_name_the_same_colours_and_the_rules_use_them_all():
    names = colours("light").keys()
    assert names == colours("dark by choice").keys()
    used = set(re.findall(r"var\(--code-([a-z]+)\)", STYLES.read_text()))
    assert used == names


def test_common_tokens_have_a_colour():
    [html] = render(
        "```python\nclass A(B):\n    '''d'''\n    @x\n    def f(self): return 1 + len('')  # c\n```"
    )
    classes = set(re.findall(r'class="([a-z0-9]+)"', html)) - {"code", "n", "o", "p", "w"}
    rules = set(re.findall(r"\.([a-z][a-z0-9]*)", STYLES.read_text()))
    assert classes >= {"k", "nc", "nf", "mi", "c1"}
    assert classes <= rules
