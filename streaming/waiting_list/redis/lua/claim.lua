-- ARGV: nonce, worker, lease_ms, reserved_ms
-- Returns {id, token, attempt, last_sequence, tokens, owner, conversation, address, max_tokens};
-- null if there is nothing to claim; {lost = true} where the list must be restored first; or
-- {reserved_ms}, for how long all that waits is reserved for other workers. Only a claim is stored
-- for a repeated call.
local nonce, worker, lease_ms, ms = unpack(ARGV)
local earlier = earlier_answer(nonce)
if earlier then return earlier end
local expires = now + tonumber(lease_ms)

if is_lost() then return '{"lost":true}' end
if free_capacity(worker) == 0 then return 'null' end
local id, wait = choose(worker, tonumber(ms))
if not id then return wait and cjson.encode({reserved_ms = wait}) or 'null' end
claim_slot(id)

-- At least the clock, so that the tokens still grow when a restart has lost the counter.
local last = tonumber(call('HGET', META, 'token') or 0)
local token = string.format('%d', math.max(last + 1, now))
call('HSET', META, 'token', token)
call('ZADD', RUNNING, expires, id)
call('SADD', leases_key(worker), id)
local asked = call('ZSCORE', UNCLAIMED, id)
if asked then
  call('ZREM', UNCLAIMED, id)
  call('RPUSH', WAITS, string.format('%d:%d', now, now - asked))
  call('LTRIM', WAITS, -WAITS_KEPT, -1)
end
local sequence, count, owner, conversation, address, max_tokens = unpack(call('HMGET',
  entry_key(id), 'tail', 'tokens', 'owner', 'conversation', 'address', 'max_tokens'))
call('HSET', entry_key(id), 'state', 'running', 'worker', worker, 'token', token,
  'expires', expires, 'since', now, 'tail_before', sequence, 'tokens_before', count,
  'left_to', '', 'left_until', 0)
return answer(nonce, {
  id = id, token = token, attempt = call('HINCRBY', entry_key(id), 'attempt', 1),
  last_sequence = tonumber(sequence), tokens = call('GET', tokens_key(id)) or '',
  owner = owner, conversation = conversation, address = address, max_tokens = tonumber(max_tokens),
})
