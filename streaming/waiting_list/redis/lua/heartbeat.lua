-- ARGV: worker, capacity, state, ttl_ms, details as JSON, prefixes
-- Returns the operator's orders: {capacity, drain}, without a capacity if none is ordered.
local worker, capacity, state, ttl_ms, details, prefixes = unpack(ARGV)
call('ZADD', WORKERS, now + tonumber(ttl_ms), worker)
call('HSET', worker_key(worker), 'capacity', capacity, 'state', state, 'at', now,
  'details', details, 'prefixes', prefixes)
local ordered, drain = unpack(call('HMGET', worker_key(worker), 'ordered', 'drain'))
return cjson.encode({capacity = tonumber(ordered or nil), drain = drain == '1'})
