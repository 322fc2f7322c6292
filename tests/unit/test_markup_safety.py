"""Nothing that a model or a user writes becomes more than harmless HTML.

The HTML is parsed and compared with a list of its own, written down here once more, so that a
mistake in the renderer's list is not repeated by its test.
"""

import json
import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.markup import HtmlRenderer, MarkupStream, render

TAGS = {
    *("p", "br", "hr", "h3", "h4", "h5", "h6", "strong", "em", "s", "a", "code", "pre"),
    *("blockquote", "ol", "ul", "li", "div", "span"),
    *("table", "thead", "tbody", "tr", "th", "td"),
    *("details", "summary", "b", "i", "u", "del", "ins", "mark", "small", "sub", "sup", "kbd"),
    *("samp", "var", "q", "cite", "ruby", "rt", "rp", "wbr", "label", "input", "button"),
    *("math", "semantics", "annotation", "mrow", "mi", "mo", "mn", "mtext", "mspace", "msup"),
    *("msub", "msubsup", "mfrac", "msqrt", "mroot", "munder", "mover", "munderover", "mtable"),
    *("mtr", "mtd", "mpadded", "mphantom", "menclose", "mmultiscripts", "mprescripts"),
}
_LENGTH = r"-?\d*\.?\d+(em|px|pt|ex|rem|cm|mm|%)?"
ATTRIBUTES = {
    ("a", "href"): r"(https?://|mailto:)[^\x00-\x20\"<>`]*",
    ("a", "title"): r"(?s).*",
    ("a", "target"): r"_blank",
    ("a", "rel"): r"noopener noreferrer nofollow",
    ("ol", "start"): r"\d{1,9}",
    ("pre", "tabindex"): r"0",
    ("div", "class"): r"code|code open|table|formula|footnote",
    ("div", "data-note"): r"(?s).{1,40}",
    ("a", "class"): r"image",
    ("li", "class"): r"task",
    ("li", "data-item"): r"\d+ \d+ \d+",
    ("details", "open"): r"",
    ("input", "type"): r"checkbox",
    ("input", "disabled"): r"",
    ("input", "checked"): r"",
    ("button", "type"): r"button",
    ("button", "class"): r"footnote-mark|footnote-back",
    ("button", "data-note"): r"(?s).{1,40}",
    ("button", "aria-label"): r"(?s)(Footnote|Back from footnote) .{1,40}",
    ("math", "display"): r"block",
    ("annotation", "encoding"): r"application/x-tex",
    ("mi", "mathvariant"): r"normal",
    ("mtd", "class"): r"((left|right|joined-left|joined-right|line-[a-z]+) ?)+",
    ("menclose", "notation"): r"[a-z ]+",
    **{
        (tag, name): r"true|false|\d"
        for tag in ("mo", "mover", "munder", "munderover", "mfrac", "mtable", "mrow")
        for name in (
            *("fence", "separator", "stretchy", "symmetric", "largeop", "movablelimits"),
            *("accent", "accentunder", "displaystyle", "scriptlevel"),
        )
    },
    **{("mo", name): _LENGTH for name in ("lspace", "rspace", "minsize", "maxsize")},
    **{("mpadded", name): _LENGTH for name in ("voffset", "width", "height", "depth", "lspace")},
    ("mo", "form"): r"prefix|infix|postfix",
    ("mspace", "width"): _LENGTH,
    ("mfrac", "linethickness"): _LENGTH,
    ("div", "data-language"): r"[a-z0-9+#._-]{1,32}",
    ("div", "tabindex"): r"0",
    ("span", "tabindex"): r"0",
    ("div", "role"): r"region",
    ("div", "aria-label"): r"Table",
    ("p", "class"): r"plain",
    ("span", "class"): r"[a-z0-9]{1,3}|-?[A-Za-z]{1,9}|tex|formula",
    ("th", "class"): r"align-(left|center|right)",
    ("td", "class"): r"align-(left|center|right)",
}
VOID = {"br", "hr", "wbr", "input"}


class Guard(HTMLParser):
    """Fails at anything that is not on the list, and at a tag that closes nothing."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open = []
        self.html = html
        self.feed(html)
        self.close()
        assert not self.open, f"{self.open} not closed in {html!r}"

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, f"<{tag}> in {self.html!r}"
        assert len({name for name, _ in attrs}) == len(attrs)
        for name, value in attrs:
            pattern = ATTRIBUTES.get((tag, name))
            assert pattern is not None, f"<{tag} {name}> in {self.html!r}"
            assert re.fullmatch(pattern, value), f"{name}={value!r} in {self.html!r}"
            if name == "href":
                assert urlsplit(value).scheme in {"http", "https", "mailto"}
        if tag == "a" and "href" in dict(attrs):
            assert {"target", "rel"} <= dict(attrs).keys()
            assert "a" not in self.open, "a link in a link"
        if tag == "input":
            assert dict(attrs).items() >= {"type": "checkbox", "disabled": ""}.items()
        if tag == "button":
            assert dict(attrs)["type"] == "button"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> in {self.html!r}"

    def handle_comment(self, data):
        raise AssertionError(f"a comment in {self.html!r}")

    def handle_decl(self, decl):
        raise AssertionError(f"a declaration in {self.html!r}")

    handle_pi = unknown_decl = handle_decl


VECTORS = [
    # raw HTML
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert&#40;1)</script></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    "<style>@import 'http://evil.example'</style>",
    "<link rel=stylesheet href=//evil.example>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<form action=//evil.example><button>x</button></form>",
    "<object data=data:text/html,x></object><embed src=x>",
    "<!--<img src=--><img src=x onerror=alert(1)//-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?php echo 1 ?><!DOCTYPE html>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "</p></div></div><script>alert(1)</script>",
    "\n\n<div onclick=alert(1)>\n\n*a*\n\n</div>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#x3c;/script>",
    "<<script>alert(1)//<</script>",
    "<img \x00src=x onerror\x0b=alert(1)>",
    # links
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](&#x6A&#x61&#x76&#x61script:alert(1))",
    "[a](javascript&colon;alert(1))",
    "[a](java&Tab;script:alert(1))",
    "[a](java&NewLine;script:alert(1))",
    "[a](\x01javascript:alert(1))",
    "[a](<java\tscript:alert(1)>)",
    "[a](< javascript:alert(1)>)",
    "[a](javascript\\:alert(1))",
    "[a](javascript%3Aalert(1))",
    "[a](vbscript:msgbox(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](DATA:image/svg+xml,<svg onload=alert(1)>)",
    "[a](file:///etc/passwd) [b](blob:x) [c](filesystem:x) [d](intent:x)",
    "[a](//evil.example) [b](/\\evil.example) [c](\\\\evil.example)",
    "[a](http:javascript:alert(1))",
    '[a](https://a.b/"onmouseover=alert(1)//)',
    "[a](http://a.b/'onclick='alert(1))",
    '[a](http://a.b/ "\\" onmouseover=alert(1) x=\\"")',
    "[a](http://a.b/ 'x\" onclick=\"alert(1)')",
    '[a](http://a.b/ (x"><script>alert(1)</script>))',
    "[<script>alert(1)</script>](http://a.b)",
    "[a][b]\n\n[b]: javascript:alert(1)",
    "[a][b]\n[b]: javascript:alert(1)",
    '[a]\n\n[a]: http://a.b "\\" onclick=alert(1)"',
    "x\n\n[a]: data:text/html,x\n[a]",
    "[a](http://\u202ecom.elpmaxe)",
    "[a](\u2028javascript:alert(1))",
    "[a](\ufeffjavascript:alert(1)) [b](\u00a0javascript:alert(1))",
    "[a](\uff4aavascript:alert(1)) [b](javascr\u0131pt:alert(1))",
    "[a](http://[::1)",
    "[a](http://a.b:99999999/) [b](http://%00/)",
    # autolinks
    "<javascript:alert(1)>",
    "<JAVASCRIPT:alert(1)>",
    "<data:text/html,<script>alert(1)</script>>",
    '<http://a.b/"onclick=alert(1)>',
    "<mailto:a@b.c?body=<script>>",
    "<a@b.c>",
    "http://a.b/<script>alert(1)</script>",
    'http://a.b/"onmouseover="alert(1)',
    "http://a.b/'onclick='alert(1)'",
    "javascript:alert(1) data:text/html,x vbscript:x",
    "javascript://http://a.b/%0aalert(1)",
    'mailto:"<script>"@a.b',
    # images
    "![a](javascript:alert(1))",
    "![a](data:image/svg+xml;base64,PHN2Zz4=)",
    '![a" onerror=alert(1)](http://a.b/x.png)',
    '![a](x"onerror=alert(1))',
    '![a](http://a.b/x.png "\\" onload=alert(1)")',
    "[![a](http://a.b)](http://c.d)",
    "![![a](http://a.b)](http://c.d)",
    "![[a](http://a.b)](http://c.d)",
    "![<img src=x onerror=alert(1)>](http://c.d)",
    # code
    '```"><script>alert(1)</script>\nx\n```',
    '```py" onclick="alert(1)\nx\n```',
    "```'onmouseover='alert(1)' <b>\n</code></pre><script>alert(1)</script>\n```",
    "~~~ </div><img src=x onerror=alert(1)>\nx\n~~~",
    "~~~&quot;&gt;&lt;script&gt;\nx\n~~~",
    "```html\n</code></pre></div><script>alert(1)</script>\n```",
    "```html\n<script>alert(1)</script><!-- <b>",
    "```js\n</script><script>alert(`1`)</script>\n```",
    '- a\n  ```"><script>\n  </pre><img src=x onerror=alert(1)>\n  ```',
    "    </code></pre><script>alert(1)</script>",
    "`</code><script>alert(1)</script>`",
    "`` ` <img src=x onerror=alert(1)> ``",
    # tables, headings, the rest
    "|<script>|b|\n|-|-|\n|<img src=x onerror=alert(1)>|`</td>`|",
    'a|b\n-|-\n[x](javascript:alert(1))|"><svg onload=alert(1)>',
    "# <script>alert(1)</script>",
    "<script>\n======\nalert(1)",
    "> <script>\n> alert(1)\n> </script>",
    "1. <script>\n2. </script>",
    "~~<script>~~ **<script>** *<img src=x onerror=alert(1)>*",
    "**<b** onclick=alert(1)**>**",
    "{{ 7*7 }} {% debug %} ${7*7} <%= 1 %>",
    "\u202e<script>\u202c \ufeff<script> ＜script＞alert(1)＜/script＞",
    "<scr\u0000ipt>alert(1)</scr\u0000ipt>",
    "\\<script\\>alert(1)\\</script\\>",
    "[" * 700 + "<script>alert(1)</script>",
    # formulas
    r"$\text{<script>alert(1)</script>}$",
    r"\(\text{</mtext></math><img src=x onerror=alert(1)>}\)",
    r"\[\text{<style>@import 'http://evil.example'</style>}\]",
    r"$\href{javascript:alert(1)}{x}$ \(\url{javascript:alert(1)}\)",
    r'\(\class{x" onclick="alert(1)}{y} \htmlData{a="b"}{c} \style{color:red}{x} \cssId{a}{b}\)',
    r"$$\unicode{x3c}script\unicode{x3e}$$",
    "$<script>alert(1)</script>$ $$<img src=x onerror=alert(1)>$$",
    r"\(</annotation></semantics></math><script>alert(1)</script>\)",
    r"\(\text{]]>}<![CDATA[<script>alert(1)</script>]]>\)",
    r"\begin{align}<svg onload=alert(1)>&=\text{</annotation><script>alert(1)</script>}\end{align}",
    r"\begin{array}{<img src=x onerror=alert(1)>}a\end{array}",
    r"\(\newcommand{\x}{<script>alert(1)</script>}\x \def\y{\x\y}\y\)",
    r'\[\color{red" onclick="alert(1)}{x} \textcolor{#fff;background:url(//evil.example)}{y}\]',
    r'\(\hspace{1em" onclick="alert(1)} \rule{1em}{1em} \label{a"b} \tag{<b>x</b>} \eqref{a}\)',
    "<math><mi xlink:href='javascript:alert(1)'>x</mi></math>",
    "<math><annotation encoding='text/html'><script>alert(1)</script></annotation></math>",
    "<math><annotation-xml encoding=text/html><img src=x onerror=alert(1)></annotation-xml></math>",
    r"\(\text{<mglyph><style><img src=x onerror=alert(1)>}\mathrm{<b>}\)",
    # raw HTML that is let through, and what looks like it
    "<details open ontoggle=alert(1)><summary onclick=alert(1)>x</summary></details>",
    "<details><summary><script>alert(1)</script></summary><img src=x onerror=alert(1)></details>",
    "<details>\n<summary>a</summary>\n\n<script>alert(1)</script>\n\n</details>",
    '<details open="" style=x>\n\nx\n\n</details>',
    "<details>" * 150 + "x",
    "</details></div></div><script>alert(1)</script>",
    "<b onclick=alert(1)>x</b> <b>a<i>b</b>c</i> <sub><sup></sub></sup>",
    "<kbd><script>alert(1)</script></kbd><br onload=alert(1)><br/><BR />",
    "<b>" * 60 + "\n\nx" + "</b>" * 60,
    "*<b>a*</b> [<u>x](http://a.b)</u> <ruby>a<rt>b</rt></ruby>",
    "<input type=image src=x onerror=alert(1)><button onclick=alert(1)>x</button><label for=a>",
    '- [x] <input type=text> "><script>\n- [ ] <label>x</label>',
    # footnotes and references
    'a[^1"onclick="alert(1)]\n\n[^1"onclick="alert(1)]: x',
    "a[^<script>]\n\n[^<script>]: <img src=x onerror=alert(1)>",
    "a[^x]\n\n[^x]: a [^x] b [^y]\n\n[^y]: [^x]",
    "[^a]: [^b]: [^c]: [^d]: x <script>",
    "[a] [b]\n\n[a]: javascript:alert(1)\n[b]: data:text/html,x 'y'",
    '[a]\n\nx\n\n[a]: http://a.b "><script>alert(1)</script>"',
]


@pytest.mark.parametrize("vector", VECTORS)
def test_an_attempt_is_neutral(vector):
    for html in (*render(vector), *render(f"text {vector} text"), *render(f"- {vector}\n\nx")):
        Guard(html)


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if len(vector) < 200])
def test_an_attempt_is_neutral_wherever_it_is_cut(vector):
    text = f"Some words before it. {vector}"
    for source in (vector, text):
        whole = render(source)
        for cut in range(len(source) + 1):
            stream = MarkupStream()
            blocks = {}
            for change in (stream.feed(source[:cut]), stream.feed(source[cut:]), stream.finish()):
                for block in change.blocks:
                    Guard(block.html)
                    blocks[block.index] = block.html
            assert [blocks[index] for index in sorted(blocks)] == whole


@pytest.mark.parametrize("vector", VECTORS)
def test_an_attempt_is_neutral_letter_by_letter(vector):
    stream = MarkupStream("Prefix, ")
    for letter in vector:
        for block in stream.feed(letter).blocks:
            Guard(block.html)
    for block in stream.finish().blocks:
        Guard(block.html)


@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    "<",
                    ">",
                    '"',
                    "'",
                    "&",
                    "`",
                    "[",
                    "]",
                    "(",
                    ")",
                    "!",
                    "\\",
                    "\n",
                    " ",
                    "\t",
                    "|",
                ),
                *("script", "javascript:", "http://", "data:", "onerror=", "img src=", "a", "-|-"),
                *("&#", "x3c;", "</", "<!--", "-->", "```", "~~~", "mailto:", "\x00", "\u2028"),
                *("$", "$$", "\\(", "\\)", "\\[", "\\]", "\\text{", "}", "{", "\\frac", "^", "_"),
                *("\\begin{align}", "\\end{align}", "<details>", "</details>", "<summary>", "<b>"),
                *("</summary>", "</b>", "<br>", "[^a]", "[^a]: ", "\n\n", "- [ ] ", "「", "**"),
            ]
        ),
        max_size=40,
    )
)
@settings(deadline=None, max_examples=500)
def test_any_mixture_is_neutral(parts):
    for html in render("".join(parts)):
        Guard(html)


async def test_no_event_opens_a_way_around():
    renderer = HtmlRenderer("<script>")
    item = {"type": "message", "content": [{"type": "output_text", "text": "alert(1)</script>"}]}
    end = {"type": "response.completed", "response": {"output": [item]}}
    text = await renderer.render_event(json.dumps(end, separators=(",", ":")))
    assert "<script" not in text.replace('"text":"alert(1)</script>"', "")


def test_the_guard_itself_sees_what_is_forbidden():
    for html in (
        "<script></script>",
        '<p onclick="x"></p>',
        '<a href="javascript:x"></a>',
        '<a href="http://a.b"></a>',
        "<p>",
        "<p></b></p>",
        "<!-- -->",
        '<td style="x"></td>',
        '<a href="/x" target="_blank" rel="noopener noreferrer nofollow"></a>',
    ):
        with pytest.raises(AssertionError):
            Guard(html)
