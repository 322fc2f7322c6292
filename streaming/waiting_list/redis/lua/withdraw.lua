-- ARGV: nonce, id, event, log_ms
local before = answer_before(ARGV[1])
if before then return before end
local state = call('HGET', entry_key(ARGV[2]), 'state')
if not state then return '"gone"' end
if state == 'running' then
  call('HSET', entry_key(ARGV[2]), 'cancelled', '1')
  return '"running"'
end
end_entry(ARGV[2], ARGV[3], ARGV[4])
return answer(ARGV[1], 'withdrawn')
