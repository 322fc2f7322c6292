-- ARGV: id, after
-- Answers the stored events with greater numbers.
local first = first_number(ARGV[1])
if not first then return '[]' end
local events = call('LRANGE', log_key(ARGV[1]), math.max(0, ARGV[2] + 1 - first), -1)
return #events > 0 and cjson.encode(events) or '[]'
