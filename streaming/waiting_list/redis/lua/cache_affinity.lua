-- Precedes every script, after ending.lua: which worker a waiting response is reserved for.
-- memory/cache_affinity.py describes the rule, and is the same for the list in memory.
--
-- A worker is `missing` from when it has not claimed in time what was reserved for it, until its
-- next claim.

local HOLDERS = BASE .. 'holders'
local function prefixes_key(worker) return BASE .. 'prefixes:' .. worker end
local function reserved_key(worker) return BASE .. 'left:' .. worker end

-- Make a worker the holder of a conversation's prefix. Of an unknown worker nothing is kept, since
-- nothing would forget it.
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

-- Return the ids that are reserved for a worker now.
local function reserved_for(worker)
  local ids = {}
  for _, id in ipairs(call('LRANGE', reserved_key(worker), 0, -1)) do
    local state, holder, ends = unpack(call('HMGET', entry_key(id),
      'state', 'left_to', 'left_until'))
    if state == 'waiting' and holder == worker and tonumber(ends) > now then
      ids[#ids + 1] = id
    end
  end
  return ids
end

-- Forget a worker that is gone, and cancel its reservations.
local function forget_prefixes(worker)
  for _, conversation in ipairs(call('ZRANGE', prefixes_key(worker), 0, -1)) do
    call('HDEL', HOLDERS, conversation)
  end
  for _, id in ipairs(reserved_for(worker)) do call('HSET', entry_key(id), 'left_to', '') end
  call('DEL', prefixes_key(worker), reserved_key(worker))
end

-- Return for how many ms only its holder may claim an entry that was reserved; nil if any worker
-- may.
local function reserved_ms(id, holder, ends)
  if holder == '' then return nil end
  local free = free_capacity(holder)
  if ends <= now then
    if free > 0 then call('HSET', worker_key(holder), 'missing', '1') end
    return nil
  end
  for place, other in ipairs(reserved_for(holder)) do
    if place > free then return nil end -- its free places have become fewer
    if other == id then return ends - now end
  end
end

-- Return for how many ms a worker must leave an entry to its holder, for which it is reserved if it
-- was not yet; nil if the worker may claim it.
local function pass_over_ms(id, worker, ms)
  local conversation, reserved, ends = unpack(call('HMGET', entry_key(id),
    'conversation', 'left_to', 'left_until'))
  ends = tonumber(ends or 0)
  if ends > 0 then
    return reserved ~= worker and reserved_ms(id, reserved, ends) or nil
  end
  local holder = conversation ~= '' and call('HGET', HOLDERS, conversation)
  if not holder or holder == worker then return nil end
  if call('HEXISTS', worker_key(holder), 'missing') == 1 then return nil end
  local ids = reserved_for(holder)
  if #ids >= free_capacity(holder) then return nil end
  ids[#ids + 1] = id
  call('HSET', entry_key(id), 'left_to', holder, 'left_until', now + ms)
  call('DEL', reserved_key(holder))
  call('RPUSH', reserved_key(holder), unpack(ids))
  call('PEXPIRE', reserved_key(holder), ms)
  call('PUBLISH', WORKERS_CHANNEL, cjson.encode({type = 'worker.claim', worker_id = holder}))
  return ms
end

-- Return the id that a worker with a free place is to claim. Or nil, and for how many ms all that
-- waits is reserved for other workers, nil if nothing waits.
local function choose(worker, ms)
  call('HDEL', worker_key(worker), 'missing')
  local mine = reserved_for(worker)[1]
  if mine then return mine end
  local passed, least = 0, nil
  for _, key in ipairs({RETURNED, ORDER}) do
    local rank = 0
    local place = call('ZRANGE', key, 0, 0)[1]
    while place do
      local id = id_at(place)
      local wait = passed < LOOK_AHEAD and pass_over_ms(id, worker, ms)
      if not wait then return id end
      passed, rank = passed + 1, rank + 1
      least = math.min(least or wait, wait)
      place = call('ZRANGE', key, rank, rank)[1]
    end
  end
  return nil, least
end
