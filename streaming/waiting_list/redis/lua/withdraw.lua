-- ARGV: nonce, id, event, log_ms
-- Returns 'withdrawn', 'running' (the cancel flag is set) or 'gone'.
local earlier = earlier_answer(ARGV[1])
if earlier then return earlier end
local state = call('HGET', entry_key(ARGV[2]), 'state')
if not state then return '"gone"' end
if state == 'running' then
  call('HSET', entry_key(ARGV[2]), 'cancelled', '1')
  return '"running"'
end
end_entry(ARGV[2], ARGV[3], ARGV[4])
return answer(ARGV[1], 'withdrawn')
