-- ARGV: the duty, the process, for how many ms
-- Returns whether the process holds the duty now.
local key = BASE .. 'elected:' .. ARGV[1]
local holder = call('GET', key)
if holder and holder ~= ARGV[2] then return 'false' end
call('SET', key, ARGV[2], 'PX', ARGV[3])
return 'true'
