-- ARGV: worker, lease_ms, then id and token of each lease
-- Answers, for each lease in turn, 'lost', 'held' or 'cancelled'.
local expires, fates = now + tonumber(ARGV[2]), {}
for i = 3, #ARGV, 2 do
  local id, fate = ARGV[i], 'lost'
  local worker, cancelled = unpack(call('HMGET', entry_key(id), 'worker', 'cancelled'))
  if worker == ARGV[1] and leased(id, ARGV[i + 1]) then
    call('ZADD', RUNNING, expires, id)
    call('HSET', entry_key(id), 'expires', expires)
    fate = cancelled == '1' and 'cancelled' or 'held'
  end
  fates[#fates + 1] = fate
end
return cjson.encode(fates)
