-- Goes before every script. The lines in front of it, written by redis.py, set MAX_ATTEMPTS.
--
-- KEYS[1] is the prefix of all keys, KEYS[2] that of the pub/sub channels of response groups.
-- Scripts build the other keys themselves: the layer has exactly one host, never a cluster.
-- Times are milliseconds of this server's clock. Every script answers one JSON text.
--
--   open      zset  open responses by their last viewer touch
--   order     zset  waiting, by place: these have positions
--   returned  zset  waiting again after a lost or released lease: ahead of position 1
--   parked    zset  attempts used up or cancelled: wait only to be withdrawn
--   held      zset  behind an open response of their conversation
--   running   zset  by the end of the lease
--   entry:ID  hash  the response         log:ID     list  its events, kept a while when done
--   tokens:ID text  "1,2,"               lane:CONV  list  the open one first, then the held
--   workers   zset  by the end of their time to live      worker:ID  hash
--   leases:WORKER set                    owners, addresses  hash  open responses of each
--   meta      hash  the ticket and lease token counters   once:NONCE  answers, against retries

local BASE, SPEECH = KEYS[1], KEYS[2]
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local OPEN, RUNNING, HELD = BASE .. 'open', BASE .. 'running', BASE .. 'held'
local ORDER, RETURNED, PARKED = BASE .. 'order', BASE .. 'returned', BASE .. 'parked'
local OWNERS, ADDRESSES = BASE .. 'owners', BASE .. 'addresses'
local WORKERS, META = BASE .. 'workers', BASE .. 'meta'

local function entry_key(id) return BASE .. 'entry:' .. id end
local function log_key(id) return BASE .. 'log:' .. id end
local function tokens_key(id) return BASE .. 'tokens:' .. id end
local function lane_key(conversation) return BASE .. 'lane:' .. conversation end
local function worker_key(worker) return BASE .. 'worker:' .. worker end
local function leases_key(worker) return BASE .. 'leases:' .. worker end

-- The client repeats a call whose answer was lost on the way: the repetition gets the first
-- answer and changes nothing, or a delta would be stored twice.
local function answer_before(nonce) return call('GET', BASE .. 'once:' .. nonce) end

local function answer(nonce, value)
  local text = cjson.encode(value)
  call('SET', BASE .. 'once:' .. nonce, text, 'PX', 60000)
  return text
end

local function next_ticket() return call('HINCRBY', META, 'ticket', 1) end

-- Give an entry its place at the end of the order. The score is the arrival ticket; fair shares
-- will put the owner's tag into it, with the ticket to break ties.
local function take_place(id, ticket)
  call('HSET', entry_key(id), 'state', 'waiting', 'ticket', ticket, 'since', now)
  call('ZADD', ORDER, ticket, id)
end

-- The capacity and the number of the workers that are alive and not draining.
local function serving()
  local capacity, count = 0, 0
  for _, worker in ipairs(call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf')) do
    local row = call('HMGET', worker_key(worker), 'capacity', 'state')
    if row[2] ~= 'draining' then
      capacity, count = capacity + tonumber(row[1]), count + 1
    end
  end
  return capacity, count
end

-- May this lease speak for the response? By token and by time, swept or not.
local function leased(id, token)
  local row = call('HMGET', entry_key(id), 'state', 'token', 'expires')
  return row[1] == 'running' and row[2] == token and tonumber(row[3]) > now
end

-- Number an event, store it, publish it to the response's group.
local function say(id, event, last)
  local number = call('HINCRBY', entry_key(id), 'tail', 1)
  local text = '{"sequence_number":' .. number .. ',' .. string.sub(event, 2)
  call('RPUSH', log_key(id), text)
  call('PUBLISH', SPEECH .. id, cjson.encode({
    type = 'response.event', response_id = id, sequence_number = number,
    event = text, last = last,
  }))
  return number
end

local function uncount(counter, name)
  if name ~= '' and call('HINCRBY', counter, name, -1) <= 0 then
    call('HDEL', counter, name)
  end
end

-- Say the last event and remove the response; the next of its conversation takes a place.
local function end_entry(id, event, log_ms)
  local row = call('HMGET', entry_key(id), 'owner', 'address', 'conversation', 'worker')
  local number = say(id, event, true)
  for _, shelf in ipairs({ORDER, RETURNED, PARKED, HELD, RUNNING, OPEN}) do
    call('ZREM', shelf, id)
  end
  if row[4] ~= '' then call('SREM', leases_key(row[4]), id) end
  uncount(OWNERS, row[1])
  uncount(ADDRESSES, row[2])
  call('DEL', entry_key(id), tokens_key(id))
  call('PEXPIRE', log_key(id), log_ms)
  if row[3] ~= '' then
    local lane = lane_key(row[3])
    local was_first = call('LINDEX', lane, 0) == id
    call('LREM', lane, 1, id)
    local next_id = call('LINDEX', lane, 0)
    if was_first and next_id then
      call('ZREM', HELD, next_id)
      take_place(next_id, next_ticket())
    end
  end
  return number
end

-- A running response back to its old place; false if it may not be claimed again.
local function give_back(id, forgive)
  local row = call('HMGET', entry_key(id), 'ticket', 'attempt', 'cancelled', 'worker')
  local attempt = tonumber(row[2])
  if forgive then attempt = attempt - 1 end
  local again = row[3] ~= '1' and attempt < MAX_ATTEMPTS
  call('ZREM', RUNNING, id)
  call('SREM', leases_key(row[4]), id)
  call('ZADD', again and RETURNED or PARKED, row[1], id)
  call('HSET', entry_key(id), 'state', 'waiting', 'attempt', attempt, 'worker', '', 'since', now)
  return again
end

-- State, position and tail of a response: {'waiting', 3, 0}.
local function look(id)
  local row = call('HMGET', entry_key(id), 'state', 'tail')
  if not row[1] then
    local tail = call('LLEN', log_key(id))
    return {tail > 0 and 'done' or 'unknown', cjson.null, tail}
  end
  local rank = row[1] == 'waiting' and call('ZRANK', ORDER, id)
  return {row[1], rank and rank + 1 or cjson.null, tonumber(row[2])}
end
