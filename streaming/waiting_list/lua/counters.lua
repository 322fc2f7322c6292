-- ARGV: the counters wanted
-- Answers {now, running, waiting, workers, capacity, waits, then each counter or false}.
local capacity, workers = serving()
local running = call('ZCARD', RUNNING)
return cjson.encode({
  now, running, call('ZCARD', OPEN) - running, workers, capacity, call('LRANGE', WAITS, 0, -1),
  unpack(call('HMGET', COUNTERS, unpack(ARGV))),
})
