-- ARGV: nonce, worker, lease_ms, left_ms
-- Answers null; or "lost" where it must be restored first; or for how many ms all that waits is left to others, which needs no keeping
-- against a retry; or {id, token, attempt, tail, tokens, owner, conversation, address, max_tokens}.
local before = answer_before(ARGV[1])
if before then return before end
local worker, expires = ARGV[2], now + tonumber(ARGV[3])

if is_lost() then return '"lost"' end
if free_places(worker) == 0 then return 'null' end
local id, left_ms = choose(worker, tonumber(ARGV[4]))
if not id then return left_ms and cjson.encode(left_ms) or 'null' end
claim_place(id)

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
local said = call('HMGET', entry_key(id), 'tail', 'tokens')
call('HSET', entry_key(id), 'state', 'running', 'worker', worker, 'token', token,
  'expires', expires, 'since', now, 'tail_before', said[1], 'tokens_before', said[2],
  'left_to', '', 'left_until', 0)
local attempt = call('HINCRBY', entry_key(id), 'attempt', 1)
local entry = call('HMGET', entry_key(id), 'tail', 'owner', 'conversation', 'address', 'max_tokens')
return answer(ARGV[1], {
  id, token, attempt, tonumber(entry[1]), call('GET', tokens_key(id)) or '',
  entry[2], entry[3], entry[4], tonumber(entry[5]),
})
