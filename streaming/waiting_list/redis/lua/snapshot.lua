-- ARGV: 'workers' for these alone, or 'all'
-- Returns {workers, running, waiting, paused, closed}: the first three are lists of objects, whose
-- members are those of WorkerRow and EntryRow, times in ms; members that are null are left out.
local workers, running, waiting = {}, {}, {}
for _, id in ipairs(live_workers()) do
  local capacity, state, paused = effective(id)
  local at, details, ordered, drain = unpack(call('HMGET', worker_key(id),
    'at', 'details', 'ordered', 'drain'))
  workers[#workers + 1] = {
    worker_id = id, capacity = capacity, state = state,
    running = call('SCARD', leases_key(id)), age = now - at, details = details, paused = paused,
    ordered = tonumber(ordered), drain = drain == '1',
  }
end

if ARGV[1] == 'workers' then return cjson.encode({workers = workers}) end

local function add(rows, id, position)
  local owner, conversation, state, worker, attempt, since, tokens, max_tokens, asked, tag, place,
    moved = unpack(call('HMGET', entry_key(id), 'owner', 'conversation', 'state', 'worker',
    'attempt', 'since', 'tokens', 'max_tokens', 'asked', 'tag', 'place', 'moved'))
  rows[#rows + 1] = {
    response_id = id, owner = owner, conversation_id = conversation, state = state,
    position = position, worker_id = worker, attempt = tonumber(attempt), since = now - since,
    tokens = tonumber(tokens), max_tokens = tonumber(max_tokens), asked = now - (asked or since),
    slot = slot_text(tag, place, moved),
  }
end

for _, id in ipairs(call('ZRANGE', RUNNING, 0, -1)) do add(running, id) end
for _, place in ipairs(call('ZRANGE', RETURNED, 0, -1)) do add(waiting, id_at(place)) end
for rank, place in ipairs(call('ZRANGE', ORDER, 0, -1)) do add(waiting, id_at(place), rank) end
for _, place in ipairs(call('ZRANGE', PARKED, 0, -1)) do add(waiting, id_at(place)) end
for _, id in ipairs(call('ZRANGE', HELD, 0, -1)) do add(waiting, id) end
return cjson.encode({
  workers = workers, running = running, waiting = waiting,
  paused = call('HEXISTS', META, 'paused') == 1, closed = call('HGET', META, 'closed') or nil,
})
