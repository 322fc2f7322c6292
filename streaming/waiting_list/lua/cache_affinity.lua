-- Goes before every script, behind ending.lua: which worker a waiting response is left to.
-- The rule is told in cache_affinity.py, which is the same for the list in memory.
--
-- An entry has `left_to`, the worker, and `left_until`, 0 if it was not left since it waits. A
-- worker is `missing` while it has not come for what was left to it.

local HOLDERS = BASE .. 'holders'
local function prefixes_key(worker) return BASE .. 'prefixes:' .. worker end
local function left_key(worker) return BASE .. 'left:' .. worker end

-- A worker has run a response of a conversation to its end. Nothing is kept of one that is not
-- known, for nobody would forget it.
local function keep_prefix(worker, conversation)
  local most = tonumber(call('HGET', worker_key(worker), 'prefixes') or 0)
  if conversation == '' or most < 1 then return end
  local holder = call('HGET', HOLDERS, conversation)
  if holder then call('ZREM', prefixes_key(holder), conversation) end
  call('HSET', HOLDERS, conversation, worker)
  call('ZADD', prefixes_key(worker), next_ticket(), conversation)
  local over = call('ZCARD', prefixes_key(worker)) - math.min(most, PREFIXES_KEPT)
  if over > 0 then
    for _, oldest in ipairs(call('ZRANGE', prefixes_key(worker), 0, over - 1)) do
      call('HDEL', HOLDERS, oldest)
    end
    call('ZREMRANGEBYRANK', prefixes_key(worker), 0, over - 1)
  end
end

-- What is left to a worker and still waits for it.
local function left_to(worker)
  local ids = {}
  for _, id in ipairs(call('LRANGE', left_key(worker), 0, -1)) do
    local row = call('HMGET', entry_key(id), 'state', 'left_to', 'left_until')
    if row[1] == 'waiting' and row[2] == worker and tonumber(row[3]) > now then
      ids[#ids + 1] = id
    end
  end
  return ids
end

-- A worker is gone, and its memory with it.
local function forget_prefixes(worker)
  for _, conversation in ipairs(call('ZRANGE', prefixes_key(worker), 0, -1)) do
    call('HDEL', HOLDERS, conversation)
  end
  for _, id in ipairs(left_to(worker)) do call('HSET', entry_key(id), 'left_to', '') end
  call('DEL', prefixes_key(worker), left_key(worker))
end

-- For how many ms one that was left to a worker is to be had by nobody else; nil if it is.
local function still_left(id, holder, left_until)
  if holder == '' then return nil end
  local free = free_places(holder)
  if left_until <= now then
    if free > 0 then call('HSET', worker_key(holder), 'missing', '1') end
    return nil
  end
  for place, other in ipairs(left_to(holder)) do
    if place > free then return nil end -- places have become fewer
    if other == id then return left_until - now end
  end
end

-- For how many ms this worker leaves an entry to another one; nil if it does not.
local function leave(id, worker, left_ms)
  local row = call('HMGET', entry_key(id), 'conversation', 'left_to', 'left_until')
  local left_until = tonumber(row[3] or 0)
  if left_until > 0 then
    return row[2] ~= worker and still_left(id, row[2], left_until) or nil
  end
  local holder = row[1] ~= '' and call('HGET', HOLDERS, row[1])
  if not holder or holder == worker then return nil end
  if call('HEXISTS', worker_key(holder), 'missing') == 1 then return nil end
  local ids = left_to(holder)
  if #ids >= free_places(holder) then return nil end
  ids[#ids + 1] = id
  call('HSET', entry_key(id), 'left_to', holder, 'left_until', now + left_ms)
  call('DEL', left_key(holder))
  call('RPUSH', left_key(holder), unpack(ids))
  call('PEXPIRE', left_key(holder), left_ms)
  call('PUBLISH', WORKERS_CHANNEL, cjson.encode({type = 'worker.claim', worker_id = holder}))
  return left_ms
end

-- What a worker with a free place claims. Or nil, and for how many ms all that waits is left to
-- others, nil if nothing waits.
local function choose(worker, left_ms)
  call('HDEL', worker_key(worker), 'missing')
  local mine = left_to(worker)[1]
  if mine then return mine end
  local passed, least = 0, nil
  for _, shelf in ipairs({RETURNED, ORDER}) do
    local rank = 0
    local place = call('ZRANGE', shelf, 0, 0)[1]
    while place do
      local id = id_at(place)
      local ms = passed < LOOK_AHEAD and leave(id, worker, left_ms)
      if not ms then return id end
      passed, rank = passed + 1, rank + 1
      least = math.min(least or ms, ms)
      place = call('ZRANGE', shelf, rank, rank)[1]
    end
  end
  return nil, least
end
