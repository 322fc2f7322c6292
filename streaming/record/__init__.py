"""The database: one module per kind of query of a response's life, connections, and what is kept
for how long.

- `creation`, `starts`, `endings`, `deletion` write what the waiting list must hear of, too: the
  lifecycle alone calls them. `standing` writes where responses stand there, `losses` what went
  wrong.
- `following` says where the items of a program go on, `responses` deletes a single response,
  `context` reads what one was asked over.
- `lookups`, `histories`, `conversations`, `chain`, `search` (by `search_index`) read; `edits`
  changes a prompt that waits, `titles` asks for titles and takes them up.
- `tasks`, `output`, `errors` are what goes in, what was said, and what is refused.

Each call is one short transaction, run in the database's thread. Knows no events of the wire, no
waiting list, no sockets and no engine's inside.
"""
