-- Answers {running, waiting, places, recent}: rows {id, worker, tokens, max_tokens, ms, resumed},
-- pairs {id, max_tokens}, pairs {worker, capacity}, texts "tokens:ms".
local running, waiting, places = {}, {}, {}
for _, id in ipairs(call('ZRANGE', RUNNING, 0, -1)) do
  local row = call('HMGET', entry_key(id), 'worker', 'tokens', 'max_tokens', 'since',
    'tokens_before')
  running[#running + 1] = {
    id, row[1], tonumber(row[2]), tonumber(row[3]), now - row[4], tonumber(row[5]),
  }
end
for _, shelf in ipairs({RETURNED, ORDER}) do
  for _, place in ipairs(call('ZRANGE', shelf, 0, -1)) do
    local id = id_at(place)
    waiting[#waiting + 1] = {id, tonumber(call('HGET', entry_key(id), 'max_tokens'))}
  end
end
if call('HEXISTS', META, 'paused') == 0 then
  for _, worker in ipairs(live_workers()) do
    local capacity, state, paused = strength(worker)
    if state ~= 'draining' and not paused then places[#places + 1] = {worker, capacity} end
  end
end
return cjson.encode({running, waiting, places, call('LRANGE', RECENT, 0, -1)})
