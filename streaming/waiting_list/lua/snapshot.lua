-- ARGV: 'workers' for these alone
-- Answers {workers, running, waiting, paused, closed}, the first three each a list of rows.
local workers, running, waiting = {}, {}, {}
for _, id in ipairs(live_workers()) do
  local capacity, state, paused = strength(id)
  local row = call('HMGET', worker_key(id), 'at', 'details', 'ordered', 'drain')
  workers[#workers + 1] = {
    id, capacity, state, call('SCARD', leases_key(id)), now - row[1], row[2], paused,
    tonumber(row[3]) or cjson.null, row[4] == '1',
  }
end

if ARGV[1] == 'workers' then return cjson.encode({workers, {}, {}, false}) end

local function add(rows, id, position)
  local row = call('HMGET', entry_key(id), 'owner', 'conversation', 'state', 'worker',
    'attempt', 'since', 'tokens', 'max_tokens', 'asked', 'tag', 'place')
  rows[#rows + 1] = {
    id, row[1], row[2], row[3], position, row[4], tonumber(row[5]), now - row[6],
    tonumber(row[7]), tonumber(row[8]), now - (row[9] or row[6]), tonumber(row[10]), row[11],
    slot_of(id),
  }
end

for _, id in ipairs(call('ZRANGE', RUNNING, 0, -1)) do add(running, id, cjson.null) end
for _, place in ipairs(call('ZRANGE', RETURNED, 0, -1)) do
  add(waiting, id_at(place), cjson.null)
end
for rank, place in ipairs(call('ZRANGE', ORDER, 0, -1)) do add(waiting, id_at(place), rank) end
for _, place in ipairs(call('ZRANGE', PARKED, 0, -1)) do add(waiting, id_at(place), cjson.null) end
for _, id in ipairs(call('ZRANGE', HELD, 0, -1)) do add(waiting, id, cjson.null) end
return cjson.encode({
  workers, running, waiting, call('HEXISTS', META, 'paused') == 1,
  call('HGET', META, 'closed') or cjson.null,
})
