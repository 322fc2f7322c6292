"""The waiting list: the channel-layer extension that decides who is served next.

It knows ids, owners, limits, leases and events. It knows neither prompts nor the record, nor who
is connected.
"""
