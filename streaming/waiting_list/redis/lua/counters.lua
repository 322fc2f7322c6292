-- ARGV: names of counters
-- Returns {now, running, waiting, workers, capacity, waits, counts}: `waits` has texts "at:ms", and
-- `counts` has each of those counters that is not 0, by name.
local capacity, workers = serving()
local running = call('ZCARD', RUNNING)
local counts = {}
for _, name in ipairs(ARGV) do counts[name] = tonumber(call('HGET', COUNTERS, name) or nil) end
return cjson.encode({
  now = now, running = running, waiting = call('ZCARD', OPEN) - running, workers = workers,
  capacity = capacity, waits = call('LRANGE', WAITS, 0, -1), counts = counts,
})
