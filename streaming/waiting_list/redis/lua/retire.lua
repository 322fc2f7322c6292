-- ARGV: worker
-- Returns true.
for _, id in ipairs(call('SMEMBERS', leases_key(ARGV[1]))) do give_back(id, true) end
call('ZREM', WORKERS, ARGV[1])
call('DEL', worker_key(ARGV[1]))
forget_prefixes(ARGV[1])
return 'true'
