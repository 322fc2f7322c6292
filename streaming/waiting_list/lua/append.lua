-- ARGV: nonce, then for each event: id, token, the event, its tokens as "1,2,", how many
-- Answers the number of each event, false where the lease is no longer valid.
local before = answer_before(ARGV[1])
if before then return before end
local numbers = {}
for i = 2, #ARGV, 5 do
  local id, number = ARGV[i], false
  if leased(id, ARGV[i + 1]) then
    if ARGV[i + 3] ~= '' then
      call('APPEND', tokens_key(id), ARGV[i + 3])
      call('HINCRBY', entry_key(id), 'tokens', ARGV[i + 4])
    end
    number = say(id, ARGV[i + 2], false)
  end
  numbers[#numbers + 1] = number
end
return answer(ARGV[1], numbers)
