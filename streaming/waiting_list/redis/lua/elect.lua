-- ARGV: the duty, who asks, for how many ms
-- Answers whether the asker holds the duty now.
local key = BASE .. 'elected:' .. ARGV[1]
local holder = call('GET', key)
if holder and holder ~= ARGV[2] then return 'false' end
call('SET', key, ARGV[2], 'PX', ARGV[3])
return 'true'
