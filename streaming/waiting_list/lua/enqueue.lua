-- ARGV: nonce, id, owner, conversation, address, max_tokens, max_waiting, max_per_owner,
--       max_per_address, readmit, said
-- Answers {'lost'} where it must be restored first, {code, present, bound} or
-- {'queue_closed', message} for a refusal, else {'ok', created, state, position, size, slot}. Only a refusal is kept against a retry, lest it be
-- counted twice: an id that was accepted is known.
local before = answer_before(ARGV[1])
if before then return before end
local id, owner, conversation, address = ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local function accepted(created)
  local seen = look(id)
  return cjson.encode({'ok', created, seen[1], seen[2], call('ZCARD', ORDER), slot_of(id)})
end

if look(id)[1] ~= 'unknown' then return accepted(false) end
if is_lost() then return '["lost"]' end

local function refused(code, ...)
  call('HINCRBY', COUNTERS, code, 1)
  return answer(ARGV[1], {code, ...})
end

if ARGV[10] ~= '1' then
  local closed = call('HGET', META, 'closed')
  if closed then return refused('queue_closed', closed) end
  local mine, per_owner = tonumber(call('HGET', OWNERS, owner) or 0), tonumber(ARGV[8])
  if per_owner > 0 and mine >= per_owner then return refused('user_limit', mine, per_owner) end
  local here, per_address = tonumber(call('HGET', ADDRESSES, address) or 0), tonumber(ARGV[9])
  if address ~= '' and per_address > 0 and here >= per_address then
    return refused('address_limit', here, per_address)
  end
  -- No worker is no reason to refuse here: one may be starting on another machine.
  local open, bound = call('ZCARD', OPEN), serving() + tonumber(ARGV[7])
  if open >= bound then return refused('queue_full', open, bound) end
  call('HINCRBY', COUNTERS, 'accepted', 1)
end

local ticket = next_ticket()
call('ZADD', UNCLAIMED, now, id)
if open_entry(id, owner, conversation, address, ARGV[6], ARGV[11], now) then
  call('ZADD', HELD, ticket, id)
else
  enter_order(id, owner, ticket)
end
return accepted(true)
