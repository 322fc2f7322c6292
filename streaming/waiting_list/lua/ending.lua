-- Goes before every script, behind fair_order.lua: how responses end or go back.

local function uncount(counter, name)
  if name ~= '' and call('HINCRBY', counter, name, -1) <= 0 then
    call('HDEL', counter, name)
  end
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
  call('PEXPIRE', log_key(id), log_ms)
  if row[3] ~= '' then
    local lane = lane_key(row[3])
    local was_first = call('LINDEX', lane, 0) == id
    call('LREM', lane, 1, id)
    local next_id = call('LINDEX', lane, 0)
    if was_first and next_id then
      call('ZREM', HELD, next_id)
      enter_order(next_id, call('HGET', entry_key(next_id), 'owner'), next_ticket())
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
