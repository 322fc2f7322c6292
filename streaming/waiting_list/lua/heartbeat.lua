-- ARGV: worker, capacity, state, ttl_ms, details as JSON, prefixes
-- Answers the operator's orders: {capacity or null, drain}.
call('ZADD', WORKERS, now + tonumber(ARGV[4]), ARGV[1])
call('HSET', worker_key(ARGV[1]), 'capacity', ARGV[2], 'state', ARGV[3], 'at', now,
  'details', ARGV[5], 'prefixes', ARGV[6])
local row = call('HMGET', worker_key(ARGV[1]), 'ordered', 'drain')
return cjson.encode({tonumber(row[1]) or cjson.null, row[2] == '1'})
