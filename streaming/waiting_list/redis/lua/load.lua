-- Returns {running, waiting, capacities, recent, before_newcomer}: lists of objects {response_id,
-- worker_id, tokens, max_tokens, ms, resumed} and {response_id, max_tokens}, capacities by worker,
-- texts "tokens:ms:limit", and a number.
local running, waiting, capacities = {}, {}, {}
for _, id in ipairs(call('ZRANGE', RUNNING, 0, -1)) do
  local worker, tokens, max_tokens, since, resumed = unpack(call('HMGET', entry_key(id),
    'worker', 'tokens', 'max_tokens', 'since', 'tokens_before'))
  running[#running + 1] = {
    response_id = id, worker_id = worker, tokens = tonumber(tokens),
    max_tokens = tonumber(max_tokens), ms = now - since, resumed = tonumber(resumed),
  }
end
for _, key in ipairs({RETURNED, ORDER}) do
  for _, place in ipairs(call('ZRANGE', key, 0, -1)) do
    local id = id_at(place)
    local max_tokens = tonumber(call('HGET', entry_key(id), 'max_tokens'))
    waiting[#waiting + 1] = {response_id = id, max_tokens = max_tokens}
  end
end
if call('HEXISTS', META, 'paused') == 0 then
  for _, worker in ipairs(live_workers()) do
    local capacity, state, paused = effective(worker)
    if state ~= 'draining' and not paused then capacities[worker] = capacity end
  end
end
return cjson.encode({
  running = running, waiting = waiting, capacities = capacities,
  recent = call('LRANGE', RECENT, 0, -1),
  before_newcomer = call('ZCARD', RETURNED) + before_newcomer(),
})
