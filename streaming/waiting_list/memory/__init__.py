"""The waiting list of one process: no `await` inside an operation, a module for each role.

It knows neither Redis nor the record nor sockets.
"""
