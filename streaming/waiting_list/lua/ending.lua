-- Goes before every script, behind fair_order.lua: how responses end or go back.

local function uncount(counter, name)
  if name ~= '' and call('HINCRBY', counter, name, -1) <= 0 then
    call('HDEL', counter, name)
  end
end

-- A new entry, counted and held. Answers whether another one of its conversation is open.
local function open_entry(id, owner, conversation, address, max_tokens, tail, seen)
  call('HSET', entry_key(id), 'owner', owner, 'conversation', conversation, 'address', address,
    'max_tokens', max_tokens, 'state', 'held', 'tag', 0, 'place', '', 'asked', now, 'since', now,
    'attempt', 0, 'worker', '', 'token', '', 'expires', 0, 'cancelled', '', 'tail', tail,
    'tokens', 0, 'left_to', '', 'left_until', 0)
  call('ZADD', OPEN, seen, id)
  call('HINCRBY', OWNERS, owner, 1)
  if address ~= '' then call('HINCRBY', ADDRESSES, address, 1) end
  return conversation ~= '' and call('RPUSH', lane_key(conversation), id) > 1
end

-- Say the last event and remove the response; the next of its conversation takes a place.
local function end_entry(id, event, log_ms)
  local row = call('HMGET', entry_key(id), 'owner', 'address', 'conversation', 'worker', 'place')
  local number = say(id, event, true)
  withdraw_place(row[1], row[5])
  call('ZREM', RETURNED, row[5])
  call('ZREM', PARKED, row[5])
  for _, shelf in ipairs({HELD, UNCLAIMED, RUNNING, OPEN}) do call('ZREM', shelf, id) end
  if row[4] ~= '' then call('SREM', leases_key(row[4]), id) end
  uncount(OWNERS, row[1])
  uncount(ADDRESSES, row[2])
  call('DEL', entry_key(id), tokens_key(id))
  call('HDEL', UNSAVED, id)
  call('PEXPIRE', log_key(id), log_ms)
  if row[3] ~= '' then
    local lane = lane_key(row[3])
    local was_first = call('LINDEX', lane, 0) == id
    call('LREM', lane, 1, id)
    local next_id = call('LINDEX', lane, 0)
    if was_first and next_id then
      call('ZREM', HELD, next_id)
      enter_order(next_id, call('HGET', entry_key(next_id), 'owner'), next_ticket())
      note_slot(next_id)
    end
  end
  return number
end

-- A running response back to its old place; false if it may not be claimed again.
local function give_back(id, forgive)
  local row = call('HMGET', entry_key(id), 'tag', 'attempt', 'cancelled', 'worker', 'place')
  local attempt = tonumber(row[2])
  if forgive then attempt = attempt - 1 end
  local again = row[3] ~= '1' and attempt < MAX_ATTEMPTS
  call('ZREM', RUNNING, id)
  call('SREM', leases_key(row[4]), id)
  call('ZADD', again and RETURNED or PARKED, row[1], row[5])
  call('HSET', entry_key(id), 'state', 'waiting', 'attempt', attempt, 'worker', '', 'since', now)
  return again
end
