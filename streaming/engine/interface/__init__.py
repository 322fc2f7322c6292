"""What an engine is asked, what it says and how it is doing: types alone, no behaviour.

Knows no engine; `streaming.engine.base` gathers it.
"""
