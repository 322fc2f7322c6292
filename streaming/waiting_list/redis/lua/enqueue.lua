-- ARGV: nonce, id, owner, conversation, address, max_tokens, max_waiting, max_per_owner,
--       max_per_address, readmit, said
-- Returns {code = 'ok', created, state, position, size, slot}; {code = 'lost'} where the list must
-- be restored first; for a refusal {code, present, bound} or {code = 'queue_closed', message}.
-- Only a refusal is stored for a repeated call, which would count it again: an accepted id is known.
local nonce, id, owner, conversation, address, max_tokens, max_waiting, max_per_owner,
  max_per_address, readmit, said = unpack(ARGV)
local earlier = earlier_answer(nonce)
if earlier then return earlier end

local function accepted(created)
  local state, position = look(id)
  return cjson.encode({
    code = 'ok', created = created, state = state, position = position,
    size = call('ZCARD', ORDER), slot = slot_of(id),
  })
end

if look(id) ~= 'unknown' then return accepted(false) end
if is_lost() then return '{"code":"lost"}' end

local function refused(reason)
  call('HINCRBY', COUNTERS, reason.code, 1)
  return answer(nonce, reason)
end

if readmit ~= '1' then
  local closed = call('HGET', META, 'closed')
  if closed then return refused({code = 'queue_closed', message = closed}) end
  local mine, per_owner = tonumber(call('HGET', OWNERS, owner) or 0), tonumber(max_per_owner)
  if per_owner > 0 and mine >= per_owner then
    return refused({code = 'user_limit', present = mine, bound = per_owner})
  end
  local here = tonumber(call('HGET', ADDRESSES, address) or 0)
  local per_address = tonumber(max_per_address)
  if address ~= '' and per_address > 0 and here >= per_address then
    return refused({code = 'address_limit', present = here, bound = per_address})
  end
  -- No worker is no reason to refuse here: one may be starting on another machine.
  local open, bound = call('ZCARD', OPEN), serving() + tonumber(max_waiting)
  if open >= bound then return refused({code = 'queue_full', present = open, bound = bound}) end
  call('HINCRBY', COUNTERS, 'accepted', 1)
end

local ticket = next_ticket()
call('ZADD', UNCLAIMED, now, id)
if open_entry(id, owner, conversation, address, max_tokens, said, now) then
  call('ZADD', HELD, ticket, id)
else
  enter_order(id, owner, ticket)
end
return accepted(true)
