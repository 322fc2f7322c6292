-- ARGV: viewer_grace_ms, queue_timeout_ms or ''
-- Returns {returned, exhausted, abandoned, overdue, cancelled}, each a list of ids.
local returned, exhausted, abandoned, cancelled, parked = {}, {}, {}, {}, {}
for _, id in ipairs(call('ZRANGEBYSCORE', RUNNING, '-inf', now)) do
  if give_back(id, false) then returned[#returned + 1] = id end
end
for _, worker in ipairs(call('ZRANGEBYSCORE', WORKERS, '-inf', now)) do
  call('ZREM', WORKERS, worker)
  call('DEL', worker_key(worker))
  forget_prefixes(worker)
end
for _, place in ipairs(call('ZRANGE', PARKED, 0, -1)) do
  local id = id_at(place)
  parked[id] = true
  if call('HGET', entry_key(id), 'cancelled') == '1' then
    abandoned[#abandoned + 1] = id
    cancelled[#cancelled + 1] = id
  else
    exhausted[#exhausted + 1] = id
  end
end
for _, id in ipairs(call('ZRANGEBYSCORE', OPEN, '-inf', now - tonumber(ARGV[1]))) do
  if not parked[id] then abandoned[#abandoned + 1] = id end
end
local overdue = {}
if ARGV[2] ~= '' then
  overdue = call('ZRANGEBYSCORE', UNCLAIMED, '-inf', now - tonumber(ARGV[2]))
end
return cjson.encode({
  returned = returned, exhausted = exhausted, abandoned = abandoned, overdue = overdue,
  cancelled = cancelled,
})
