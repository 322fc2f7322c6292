-- Precedes every script, after fair_order.lua: how responses begin, end and are given back.

local function uncount(counter, name)
  if name ~= '' and call('HINCRBY', counter, name, -1) <= 0 then
    call('HDEL', counter, name)
  end
end

-- Add a held entry and count it; return whether another one of its conversation is open.
-- `tag`, `place` and `moved` are its slot; `tail` is the number of its last event, `tail_before`
-- and `tokens_before` are the numbers of its events and tokens at its last claim; `left_to` is the
-- worker that it is reserved for, `left_until` when that ends, 0 if it was not reserved since it
-- waits.
local function open_entry(id, owner, conversation, address, max_tokens, tail, seen)
  call('HSET', entry_key(id), 'owner', owner, 'conversation', conversation, 'address', address,
    'max_tokens', max_tokens, 'state', 'held', 'tag', 0, 'place', '', 'asked', now, 'since', now,
    'attempt', 0, 'worker', '', 'token', '', 'expires', 0, 'cancelled', '', 'tail', tail,
    'tokens', 0, 'left_to', '', 'left_until', 0)
  call('ZADD', OPEN, seen, id)
  call('HINCRBY', OWNERS, owner, 1)
  if address ~= '' then call('HINCRBY', ADDRESSES, address, 1) end
  return conversation ~= '' and call('RPUSH', conversation_key(conversation), id) > 1
end

-- Publish the last event and remove the response; the next of its conversation enters the order.
-- Return the event's number.
local function end_entry(id, event, log_ms)
  local owner, address, conversation, worker, place = unpack(call('HMGET', entry_key(id),
    'owner', 'address', 'conversation', 'worker', 'place'))
  local number = publish(id, event, true)
  withdraw_slot(owner, place)
  call('ZREM', RETURNED, place)
  call('ZREM', PARKED, place)
  for _, key in ipairs({HELD, UNCLAIMED, RUNNING, OPEN}) do call('ZREM', key, id) end
  if worker ~= '' then call('SREM', leases_key(worker), id) end
  uncount(OWNERS, owner)
  uncount(ADDRESSES, address)
  call('DEL', entry_key(id), tokens_key(id))
  call('HDEL', UNSAVED, id)
  call('PEXPIRE', log_key(id), log_ms)
  if conversation ~= '' then
    local queue = conversation_key(conversation)
    local was_first = call('LINDEX', queue, 0) == id
    call('LREM', queue, 1, id)
    local next_id = call('LINDEX', queue, 0)
    if was_first and next_id then
      call('ZREM', HELD, next_id)
      enter_order(next_id, call('HGET', entry_key(next_id), 'owner'), next_ticket())
      note_slot(next_id)
    end
  end
  return number
end

-- Return a running response to its slot; return whether it may be claimed again. `forgive`: the
-- attempt does not count.
local function give_back(id, forgive)
  local tag, attempt, cancelled, worker, place = unpack(call('HMGET', entry_key(id),
    'tag', 'attempt', 'cancelled', 'worker', 'place'))
  if forgive then attempt = attempt - 1 end
  local again = cancelled ~= '1' and tonumber(attempt) < MAX_ATTEMPTS
  call('ZREM', RUNNING, id)
  call('SREM', leases_key(worker), id)
  call('ZADD', again and RETURNED or PARKED, tag, place)
  call('HSET', entry_key(id), 'state', 'waiting', 'attempt', attempt, 'worker', '', 'since', now)
  return again
end
