-- ARGV: id
-- Answers whether a worker runs it, which its next renewal will tell.
if call('HGET', entry_key(ARGV[1]), 'state') ~= 'running' then return 'false' end
call('HSET', entry_key(ARGV[1]), 'cancelled', '1')
return 'true'
