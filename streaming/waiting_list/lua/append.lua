-- ARGV: nonce, then for each event: id, token, the event, its tokens as "1,2,", how many,
--       the number it must get or ''
-- Answers the number of each event; false where the lease is no longer valid, 'wrong' where the
-- number cannot be right.
local before = answer_before(ARGV[1])
if before then return before end
local numbers, tokens = {}, 0
for i = 2, #ARGV, 6 do
  local id, number = ARGV[i], false
  if leased(id, ARGV[i + 1]) then
    local fate = fate_of_number(id, ARGV[i + 5])
    if fate == 'wrong' then
      number = 'wrong'
    elseif fate == 'said' then
      number = tonumber(ARGV[i + 5])
    else
      if ARGV[i + 3] ~= '' then
        call('APPEND', tokens_key(id), ARGV[i + 3])
        call('HINCRBY', entry_key(id), 'tokens', ARGV[i + 4])
        tokens = tokens + tonumber(ARGV[i + 4])
      end
      number = say(id, ARGV[i + 2], false)
    end
  end
  numbers[#numbers + 1] = number
end
if tokens > 0 then call('HINCRBY', COUNTERS, 'tokens', tokens) end
return answer(ARGV[1], numbers)
