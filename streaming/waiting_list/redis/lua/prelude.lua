-- Precedes every script: keys, time, and functions. The lines before it, written by scripts.py, set
-- the constants.
--
-- KEYS[1] is the layer's prefix followed by ':waiting:', with which all keys begin.
-- Scripts build the other keys themselves: the layer has exactly one host, never a cluster.
-- The last argument is the id of the caller's database, or empty.
-- Times are milliseconds of this server's clock. Every script returns one JSON text: an object with
-- named members where there is more than one value. cjson writes an empty list as {}.
--
-- What follows is the stored format, whose number is FORMAT. Processes of several versions may
-- share a list of one format, each with its own scripts. Increase FORMAT with every change of a
-- key's or a field's name or meaning: then neither version touches the other's list. So some names
-- are older than the words around them.
--
--   open      zset  open responses by their last viewer touch
--   order     zset  waiting, by place: these have positions
--   returned  zset  waiting again after a lost or released lease: ahead of position 1
--   parked    zset  out of attempts or cancelled while running: wait to be withdrawn
--   queue:OWNER zset  an owner's part of the order
--   held      zset  behind an open response of their conversation, by arrival
--   unclaimed zset  never claimed yet, by arrival (a time)
--   running   zset  by the end of the lease
--   entry:ID  hash  the response: what `open_entry` in ending.lua writes
--   log:ID    list  its events, as protocol/response_events.py has them, kept for a while after
--                   its end
--   tokens:ID text  the ids of its generated tokens: "1,2,"
--   lane:CONV list  the ids of a conversation: the first may run, the others are held
--   workers   zset  by the end of their time to live      worker:ID  hash
--   leases:WORKER set                    owners, addresses  hash  open responses of each
--   said:ID   text  token of the lease that finished it
--   once:NONCE text the answer to a call, for a repeated call
--   recent    list  "tokens:ms:limit" of finished responses
--   elected:NAME text  the holder of the duty
--   meta      hash  the ticket and lease token counters, the virtual time, paused, closed, the
--                   site: the id of the database whose list this is, the format, and
--                   `restored`: it has all that that database holds open
--   unsaved   hash  id -> slot, where it is not the one that `enqueue` returned, for the record
--   counters  hash  accepted, tokens, and how often each code was the refusal
--   waits     list  "at:ms" of first claims: the time, and how long the response had waited
--   samples   list  the last hour of the queue, for charts
--   holders   hash  conversation -> the worker that holds its prefix
--   prefixes:WORKER zset  those conversations of one worker, by when they were last answered
--   left:WORKER list  ids that were reserved for it; gone when the last reservation is over
--
-- Members of order, returned, parked and queue:OWNER are places: see fair_order.lua.

local BASE = KEYS[1]
local PREFIX = string.sub(BASE, 1, -#':waiting:' - 1)
local EVENTS, WORKERS_CHANNEL = PREFIX .. EVENTS_NAME, PREFIX .. WORKERS_NAME
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local OPEN, RUNNING, HELD = BASE .. 'open', BASE .. 'running', BASE .. 'held'
local ORDER, RETURNED, PARKED = BASE .. 'order', BASE .. 'returned', BASE .. 'parked'
local UNCLAIMED, RECENT = BASE .. 'unclaimed', BASE .. 'recent'
local COUNTERS, WAITS, SAMPLES = BASE .. 'counters', BASE .. 'waits', BASE .. 'samples'
local OWNERS, ADDRESSES = BASE .. 'owners', BASE .. 'addresses'
local WORKERS, META, UNSAVED = BASE .. 'workers', BASE .. 'meta', BASE .. 'unsaved'

local caller = table.remove(ARGV)
local site, format = unpack(call('HMGET', META, 'site', 'format'))
if caller ~= '' and site and site ~= caller then -- before the format: its error tells how to drop
  return redis.error_reply('OTHERSITE the list is that of another database')
end
if not format and call('EXISTS', OPEN) == 1 then format = '1' end -- from before the number
if not format then
  call('HSET', META, 'format', FORMAT) -- a new list
elseif format ~= FORMAT then
  return redis.error_reply('OTHERFORMAT the list has the format ' .. format)
end
if caller ~= '' and not site then call('HSET', META, 'site', caller) end

-- Return whether the list must be restored first. A list that belongs to no database never must.
local function is_lost() return caller ~= '' and call('HEXISTS', META, 'restored') == 0 end

local function entry_key(id) return BASE .. 'entry:' .. id end
local function log_key(id) return BASE .. 'log:' .. id end
local function last_lease_key(id) return BASE .. 'said:' .. id end
local function tokens_key(id) return BASE .. 'tokens:' .. id end
local function conversation_key(conversation) return BASE .. 'lane:' .. conversation end
local function worker_key(worker) return BASE .. 'worker:' .. worker end
local function leases_key(worker) return BASE .. 'leases:' .. worker end

-- Return the answer to an earlier call with this nonce, false without one. The client repeats a
-- call whose answer was lost: the repeated call gets the first one's answer and changes nothing,
-- since a delta would be stored twice otherwise.
local function earlier_answer(nonce) return call('GET', BASE .. 'once:' .. nonce) end

-- Return a value as JSON, and store it for a repeated call.
local function answer(nonce, value)
  local text = cjson.encode(value)
  call('SET', BASE .. 'once:' .. nonce, text, 'PX', 60000)
  return text
end

-- Return the workers that are alive, in no order.
local function live_workers() return call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf') end

-- Return the effective capacity and state of a worker (the heartbeat's, lowered by the operator's
-- orders), and whether it is paused itself.
local function effective(worker)
  local capacity, state, ordered, drain, paused = unpack(call('HMGET', worker_key(worker),
    'capacity', 'state', 'ordered', 'drain', 'paused'))
  capacity = tonumber(capacity)
  if ordered then capacity = math.min(capacity, tonumber(ordered)) end
  return capacity, drain and 'draining' or state, paused == '1'
end

-- Return how many responses a worker may claim now.
local function free_capacity(worker)
  local alive_until = call('ZSCORE', WORKERS, worker)
  if not alive_until or tonumber(alive_until) <= now then return 0 end
  local capacity, state, paused = effective(worker)
  if state ~= 'ready' or paused or call('HEXISTS', META, 'paused') == 1 then return 0 end
  return math.max(0, capacity - call('SCARD', leases_key(worker)))
end

-- Return the capacity and the number of the workers that are alive and not draining.
local function serving()
  local total, count = 0, 0
  for _, worker in ipairs(live_workers()) do
    local capacity, state = effective(worker)
    if state ~= 'draining' then total, count = total + capacity, count + 1 end
  end
  return total, count
end

-- Return whether this lease may publish for the response. A lease ends with its time, whether or
-- not a sweep has noticed.
local function leased(id, token)
  local state, valid, expires = unpack(call('HMGET', entry_key(id), 'state', 'token', 'expires'))
  return state == 'running' and valid == token and tonumber(expires) > now
end

-- Return what the number is that an event must get: 'next', 'repeated' (this lease has published it
-- already), or 'wrong'. An empty number is always the next one. `rules.is_repeated` is the same.
local function check_number(id, number)
  number = tonumber(number)
  if not number then return 'next' end
  local last, at_claim = unpack(call('HMGET', entry_key(id), 'tail', 'tail_before'))
  if number == last + 1 then return 'next' end
  return number > tonumber(at_claim) and number <= tonumber(last) and 'repeated' or 'wrong'
end

-- Number an event, store it and publish it to the response's group; return its number.
local function publish(id, event, last)
  local number = call('HINCRBY', entry_key(id), 'tail', 1)
  local text = '{"sequence_number":' .. number .. ',' .. string.sub(event, 2)
  call('RPUSH', log_key(id), text)
  call('PUBLISH', EVENTS .. id, cjson.encode({
    type = 'response.event', response_id = id, sequence_number = number,
    event = text, last = last,
  }))
  return number
end

-- Return the number of the first event in a log, nil without one.
local function first_number(id)
  local first = call('LINDEX', log_key(id), 0)
  return first and tonumber(string.match(first, '^{"sequence_number":(%d+)'))
end

-- Return the number of the last event in a log, 0 without any.
local function last_number(id)
  local first = first_number(id)
  return first and first + call('LLEN', log_key(id)) - 1 or 0
end

-- Return state, position (nil if it has none) and last number of a response.
local function look(id)
  local state, last, place = unpack(call('HMGET', entry_key(id), 'state', 'tail', 'place'))
  if not state then
    last = last_number(id)
    return last > 0 and 'done' or 'unknown', nil, last
  end
  local rank = state == 'waiting' and call('ZRANK', ORDER, place)
  return state, rank and rank + 1 or nil, tonumber(last)
end
