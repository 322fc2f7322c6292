"""The waiting list that many processes share: a module for each role, scripts, connections, checks.

It knows neither the record nor sockets.
"""
