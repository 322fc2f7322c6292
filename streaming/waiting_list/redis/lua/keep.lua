-- ARGV: id, milliseconds from now until when it counts as viewed
-- Returns true.
call('ZADD', OPEN, 'XX', now + tonumber(ARGV[2]), ARGV[1])
return 'true'
