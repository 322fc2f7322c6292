"""The interface of the waiting list: constants, errors, value types and four roles.

Callers import all of it from `streaming.waiting_list.base`. It knows neither Django nor Redis,
nor how a list keeps anything.
"""
