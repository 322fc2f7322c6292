"""What operators are told: metrics, log lines, traces.

Decides nothing, and knows no sockets and no pages.
"""
