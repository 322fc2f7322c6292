"""Conversations from files: ChatGPT's export, Open WebUI's, and our own.

What reads a file is a stranger's program, in effect: it runs in a process of its own, in bounded
time and memory, and knows neither Django nor the database (`reading`, `tree`, `chatgpt`,
`open_webui`, `own`). What it found is written by the process that asked (`writing`).
"""
