-- ARGV: worker, lease_ms, then id and token of each lease
-- Returns, for each lease, 'lost', 'held' or 'cancelled'.
local expires, statuses = now + tonumber(ARGV[2]), {}
for i = 3, #ARGV, 2 do
  local id, status = ARGV[i], 'lost'
  local worker, cancelled = unpack(call('HMGET', entry_key(id), 'worker', 'cancelled'))
  if worker == ARGV[1] and leased(id, ARGV[i + 1]) then
    call('ZADD', RUNNING, expires, id)
    call('HSET', entry_key(id), 'expires', expires)
    status = cancelled == '1' and 'cancelled' or 'held'
  end
  statuses[#statuses + 1] = status
end
return cjson.encode(statuses)
