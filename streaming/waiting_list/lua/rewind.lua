-- ARGV: id, a number that somebody was told, the last number before the new life
-- Answers whether the log had lost that number, and the response begins anew. As each of them
-- costs an attempt, nobody can make it begin anew for ever.
local id, seen = ARGV[1], tonumber(ARGV[2])
local row = call('HMGET', entry_key(id), 'state', 'tail')
if not row[1] or tonumber(row[2]) >= seen then return 'false' end
call('DEL', log_key(id), tokens_key(id), said_key(id))
call('HSET', entry_key(id), 'tail', ARGV[3], 'tail_before', ARGV[3], 'tokens', 0)
if row[1] == 'running' then give_back(id, false) end
return 'true'
