-- ARGV: nonce, id, token, event, log_ms, the number it must get or '', counted,
-- cut at a limit
-- Answers the event's number, null if the lease is no longer valid, 'wrong' as append does.
local before = answer_before(ARGV[1])
if before then return before end
local id, token = ARGV[2], ARGV[3]
if not leased(id, token) then
  local said = ARGV[6] ~= '' and call('GET', said_key(id)) == token
  return said and last_number(id) == tonumber(ARGV[6]) and ARGV[6] or 'null'
end
if fate_of_number(id, ARGV[6]) ~= 'next' then return '"wrong"' end
local row = call('HMGET', entry_key(id), 'tokens_before', 'tokens', 'since', 'max_tokens',
  'worker', 'conversation')
keep_prefix(row[5], row[6])
if ARGV[7] == '1' and row[1] == '0' then
  local limit = ARGV[8] == '1' and row[2] ~= '0' and row[2] or row[4]
  call('RPUSH', RECENT, row[2] .. ':' .. string.format('%d', now - row[3]) .. ':' .. limit)
  call('LTRIM', RECENT, -RECENT_KEPT, -1)
end
call('SET', said_key(id), token, 'PX', ARGV[5])
return answer(ARGV[1], end_entry(id, ARGV[4], ARGV[5]))
