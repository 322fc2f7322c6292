-- ARGV: id, a number that somebody was told, the last number before the new life
-- Answers whether the log had lost that number, and the response begins anew. As each of them
-- costs an attempt, nobody can make it begin anew for ever.
local id, seen, above = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local state, last = unpack(call('HMGET', entry_key(id), 'state', 'tail'))
if not state or tonumber(last) >= seen then return 'false' end
call('DEL', log_key(id), tokens_key(id), said_key(id))
call('HSET', entry_key(id), 'tail', above, 'tail_before', above, 'tokens', 0)
if state == 'running' then give_back(id, false) end
return 'true'
