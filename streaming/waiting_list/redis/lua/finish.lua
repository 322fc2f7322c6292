-- ARGV: nonce, id, token, event, log_ms, the number that it must get or '', '1' if it is counted,
--       '1' if it was cut at a limit
-- Returns the event's number, null if the lease is no longer valid, 'wrong' as append.lua does.
local nonce, id, token, event, log_ms, number, counted, cut = unpack(ARGV)
local earlier = earlier_answer(nonce)
if earlier then return earlier end
if not leased(id, token) then
  local is_repeated = number ~= '' and call('GET', last_lease_key(id)) == token
  return is_repeated and last_number(id) == tonumber(number) and number or 'null'
end
if check_number(id, number) ~= 'next' then return '"wrong"' end
local resumed, tokens, since, max_tokens, worker, conversation = unpack(call('HMGET',
  entry_key(id), 'tokens_before', 'tokens', 'since', 'max_tokens', 'worker', 'conversation'))
keep_prefix(worker, conversation)
if counted == '1' and resumed == '0' then
  local limit = cut == '1' and tokens ~= '0' and tokens or max_tokens
  call('RPUSH', RECENT, tokens .. ':' .. string.format('%d', now - since) .. ':' .. limit)
  call('LTRIM', RECENT, -RECENT_KEPT, -1)
end
call('SET', last_lease_key(id), token, 'PX', log_ms)
return answer(nonce, end_entry(id, event, log_ms))
