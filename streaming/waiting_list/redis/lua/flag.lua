-- ARGV: id
-- Returns whether a worker runs it; the worker is told by its next `renew`.
if call('HGET', entry_key(ARGV[1]), 'state') ~= 'running' then return 'false' end
call('HSET', entry_key(ARGV[1]), 'cancelled', '1')
return 'true'
