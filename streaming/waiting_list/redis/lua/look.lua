-- ARGV: '1' to count a viewer touch, then the ids
-- Returns {size, workers, responses}, the last a list of {state, position, last_sequence}.
local _, workers = serving()
local responses = {}
for i = 2, #ARGV do
  local state, position, last = look(ARGV[i])
  if ARGV[1] == '1' then call('ZADD', OPEN, 'XX', now, ARGV[i]) end
  responses[i - 1] = {state = state, position = position, last_sequence = last}
end
return cjson.encode({size = call('ZCARD', ORDER), workers = workers, responses = responses})
