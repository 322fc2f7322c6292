-- ARGV: nonce, then for each event: id, token, the event, its tokens as "1,2,", their count,
--       the number that it must get or ''
-- Returns the number of each event; false where the lease is no longer valid, 'wrong' for a number
-- that is neither the next one nor repeated.
local earlier = earlier_answer(ARGV[1])
if earlier then return earlier end
local numbers, tokens = {}, 0
for i = 2, #ARGV, 6 do
  local id, token, event, ids, count, wanted = unpack(ARGV, i, i + 5)
  local number = false
  if leased(id, token) then
    local status = check_number(id, wanted)
    if status == 'wrong' then
      number = 'wrong'
    elseif status == 'repeated' then
      number = tonumber(wanted)
    else
      if ids ~= '' then
        call('APPEND', tokens_key(id), ids)
        call('HINCRBY', entry_key(id), 'tokens', count)
        tokens = tokens + tonumber(count)
      end
      number = publish(id, event, false)
    end
  end
  numbers[#numbers + 1] = number
end
if tokens > 0 then call('HINCRBY', COUNTERS, 'tokens', tokens) end
return answer(ARGV[1], numbers)
