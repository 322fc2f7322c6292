"""The waiting list: the channel-layer extension that decides who is served next."""
