-- ARGV: nonce, then for each event: id, token, the event, its tokens as "1,2,", how many,
--       the number it must get or ''
-- Answers the number of each event; false where the lease is no longer valid, 'wrong' where the
-- number cannot be right.
local before = answer_before(ARGV[1])
if before then return before end
local numbers, tokens = {}, 0
for i = 2, #ARGV, 6 do
  local id, token, event, ids, count, wanted = unpack(ARGV, i, i + 5)
  local number = false
  if leased(id, token) then
    local fate = fate_of_number(id, wanted)
    if fate == 'wrong' then
      number = 'wrong'
    elseif fate == 'said' then
      number = tonumber(wanted)
    else
      if ids ~= '' then
        call('APPEND', tokens_key(id), ids)
        call('HINCRBY', entry_key(id), 'tokens', count)
        tokens = tokens + tonumber(count)
      end
      number = say(id, event, false)
    end
  end
  numbers[#numbers + 1] = number
end
if tokens > 0 then call('HINCRBY', COUNTERS, 'tokens', tokens) end
return answer(ARGV[1], numbers)
