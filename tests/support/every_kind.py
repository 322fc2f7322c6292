"""A text with every kind of block that an answer may have."""

EVERY_KIND = """## The sea at **night**

The first paragraph has some *emphasised* words, **strong ones**, ~~old ones~~ and `inline code`, \
and it is long enough for several lines on a phone as well as on a desk, so that it wraps.
A second line of it, with [a link to the harbour](https://example.org/harbour?a=1&b=2) in it.

Between them stands a paragraph, 2 * 3 = 6, snake_case_names, AT&amp;T and an escaped \\*star\\*.

1. **First:** an item with a strong beginning and words enough to reach the second line of a phone
2. Second item
   - nested one with `code`
   - nested two, *slanted*
     1. third level
     2. and on
3. Third item, see https://example.org/a_b_c for more

- loose one

- loose two

> A quotation of several words, with **strong** ones
> and a second line.
>
> > Nested in it.

| Name | Cost | Note |
|:-----|-----:|------|
| `sorted` | 12 | *stable* |
| heap | 7 | none |

```python
def top(words):
    # the three best
    return sorted(words)[:3]
```

---

### これは見出しです

これは**重要**な文章で、空白がありません。改行も少しだけあります。「引用」もあります。

The end of ***it all***, and a last line with $5 and 100 % of it. [1] Done!
"""

LONG_LISTS = [
    "Before it:\n\n"
    + "".join(f"{n}. **Item {n}:** some words of it, and *more*\n" for n in range(1, 40)),
    "Words at once:\n"
    + "".join(f"- item {n}\n  - nested `{n}`\n  - and *on*\n" for n in range(30)),
    "".join(f"- loose {n}\n\n  with a **second** paragraph\n\n" for n in range(30)),
    "".join(f"* one {n}\n" for n in range(60)) + "- another list\n" * 30 + "* * *\n\n* more\n" * 5,
    "".join(f"1. code\n   ```py\n   x = {n}\n   ```\n" for n in range(30)),
]
