-- ARGV: id, the number of an event that somebody has read, the number that new events follow
-- Returns whether the log had lost that event, so that the response begins anew. That costs an
-- attempt, so that nobody can make a response begin anew for ever.
local id, seen, above = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local state, last = unpack(call('HMGET', entry_key(id), 'state', 'tail'))
if not state or tonumber(last) >= seen then return 'false' end
call('DEL', log_key(id), tokens_key(id), last_lease_key(id))
call('HSET', entry_key(id), 'tail', above, 'tail_before', above, 'tokens', 0)
if state == 'running' then give_back(id, false) end
return 'true'
