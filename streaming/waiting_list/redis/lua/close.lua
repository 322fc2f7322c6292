-- ARGV: the operator's message, or nothing to reopen
-- Returns true.
if ARGV[1] then call('HSET', META, 'closed', ARGV[1]) else call('HDEL', META, 'closed') end
return 'true'
