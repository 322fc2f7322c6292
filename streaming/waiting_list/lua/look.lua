-- ARGV: '1' to touch as a viewer, then the ids
-- Answers {size, workers, state, position, tail, state, position, tail, ...}.
local _, workers = serving()
local answers = {call('ZCARD', ORDER), workers}
for i = 2, #ARGV do
  local seen = look(ARGV[i])
  if ARGV[1] == '1' then call('ZADD', OPEN, 'XX', now, ARGV[i]) end
  local at = #answers
  answers[at + 1], answers[at + 2], answers[at + 3] = seen[1], seen[2], seen[3]
end
return cjson.encode(answers)
