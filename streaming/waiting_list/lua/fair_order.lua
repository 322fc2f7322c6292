-- Goes before every script, behind prelude.lua: start-time fair queueing between owners.
-- The rule is told in base.py, `WaitingList`; fair_order.py is the same for the list in memory.
--
-- A place is a tag and an arrival ticket. In a zset the tag is the score and the member is
-- "0000000000000042:ID", the ticket before the id: Redis sorts by score, then by member, and
-- both stay exact. The entry keeps its `tag` and its `place` (the member) while it runs.

local function next_ticket() return call('HINCRBY', META, 'ticket', 1) end
local function queue_key(owner) return BASE .. 'queue:' .. owner end
local function id_at(place) return string.sub(place, 18) end

local function stand(id, owner, tag, place)
  call('HSET', entry_key(id), 'tag', tag, 'place', place)
  call('ZADD', ORDER, tag, place)
  call('ZADD', queue_key(owner), tag, place)
end

-- Give an entry its place in the order. With nothing of the owner's there, the virtual time has
-- passed the owner's last tag, so no such tag is kept.
local function enter_order(id, owner, ticket)
  local last = call('ZRANGE', queue_key(owner), -1, -1, 'WITHSCORES')[2] or 0
  local virtual_time = call('HGET', META, 'virtual_time') or 0
  local tag = math.max(tonumber(virtual_time), tonumber(last)) + 1
  call('HSET', entry_key(id), 'state', 'waiting', 'since', now)
  stand(id, owner, string.format('%d', tag), string.format('%016d:', ticket) .. id)
end

-- Take the first one out; its id, or nil.
local function claim_first()
  local place, tag = unpack(call('ZPOPMIN', ORDER))
  if not place then return nil end
  local virtual_time = call('HGET', META, 'virtual_time') or 0
  if tonumber(tag) > tonumber(virtual_time) then call('HSET', META, 'virtual_time', tag) end
  local id = id_at(place)
  call('ZREM', queue_key(call('HGET', entry_key(id), 'owner')), place)
  return id
end

-- Take an entry out, if it is in the order; its owner's later ones each move up by one place.
local function withdraw_place(owner, place)
  local queue = queue_key(owner)
  local rank = call('ZRANK', queue, place)
  if not rank then return end
  local later = call('ZRANGE', queue, rank, -1, 'WITHSCORES')
  for i = 1, #later, 2 do
    call('ZREM', ORDER, later[i])
    call('ZREM', queue, later[i])
  end
  for i = 3, #later, 2 do
    local id = id_at(later[i])
    stand(id, owner, later[i - 1], string.sub(later[i - 2], 1, 17) .. id)
  end
end
