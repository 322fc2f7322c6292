-- ARGV: worker, capacity, state, ttl_ms, details as JSON
call('ZADD', WORKERS, now + tonumber(ARGV[4]), ARGV[1])
call('HSET', worker_key(ARGV[1]), 'capacity', ARGV[2], 'state', ARGV[3], 'at', now,
  'details', ARGV[5])
return 'true'
