"""A small server that speaks Chat Completions and Responses, and whose model is a set of rules.

It calls tools, looks at images, thinks and keeps to a form when it is asked to, the same way each
time. `python -m tests.support.tool_server --help` runs it by hand, `process.ToolServer` for tests.
It knows nothing of ChatStream.
"""
