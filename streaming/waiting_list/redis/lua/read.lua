-- ARGV: id, after, most ('' for all)
-- Returns the stored events with numbers greater than `after`, at most `most`, the lowest first.
local first = first_number(ARGV[1])
if not first then return '[]' end
if ARGV[3] == '0' then return '[]' end
local from = math.max(0, ARGV[2] + 1 - first)
local to = ARGV[3] == '' and -1 or from + ARGV[3] - 1
local events = call('LRANGE', log_key(ARGV[1]), from, to)
return #events > 0 and cjson.encode(events) or '[]'
