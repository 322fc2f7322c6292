"""Tells operators when people wait too long, answers fail, or no worker serves: by web hooks and
e-mail, as they have set it in the console. Decides nothing about the queue, and holds nothing up.
"""
