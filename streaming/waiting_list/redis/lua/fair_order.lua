-- Goes before every script, behind prelude.lua: start-time fair queueing between owners.
-- The rule is told in base.py, `WaitingList`; fair_order.py is the same for the list in memory.
--
-- A slot is a tag and an arrival ticket. In a zset the tag is the score and the member, called the
-- place, is "0000000000000042:ID", the ticket before the id: Redis sorts by score, then by member,
-- and both stay exact. The entry keeps its `tag` and its `place` while it runs.
-- Entries that were moved are in no owner's queue, and are `moved` until they end.

local function next_ticket() return call('HINCRBY', META, 'ticket', 1) end
local function queue_key(owner) return BASE .. 'queue:' .. owner end
local function id_at(place) return string.sub(place, 18) end

local function new_place(id) return string.format('%016d:', next_ticket()) .. id end

local function stand(id, tag, place)
  call('HSET', entry_key(id), 'tag', tag, 'place', place)
  call('ZADD', ORDER, tag, place)
end

local function stand_in_queue(id, owner, tag, place)
  stand(id, tag, place)
  call('ZADD', queue_key(owner), tag, place)
end

-- Return the slot as base.Slot writes it; '' for a held entry.
local function slot_text(tag, place, moved)
  if not place or place == '' then return '' end
  local ticket = string.format('%d', tonumber(string.sub(place, 1, 16)))
  return tag .. ':' .. ticket .. ':' .. (moved == '1' and '1' or '0')
end

local function slot_of(id)
  return slot_text(unpack(call('HMGET', entry_key(id), 'tag', 'place', 'moved')))
end

-- Note a slot that `enqueue` did not tell, for the record.
local function note_slot(id) call('HSET', UNSAVED, id, slot_of(id)) end

-- Pass over rounds that moves have emptied: the next one is that of somebody who waits.
-- Return the virtual time.
local function close_gap()
  local present = call('HGET', META, 'virtual_time') or '0'
  local later = call('ZRANGEBYSCORE', ORDER, '(' .. present, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not later[2] or later[2] - 1 == tonumber(present) then return tonumber(present) end
  call('HSET', META, 'virtual_time', string.format('%d', later[2] - 1))
  return later[2] - 1
end

-- Give an entry its place in the order. With nothing of the owner's there, the virtual time has
-- passed the owner's last tag, so no such tag is kept.
local function enter_order(id, owner, ticket)
  local last = call('ZRANGE', queue_key(owner), -1, -1, 'WITHSCORES')[2] or 0
  local tag = math.max(close_gap(), tonumber(last)) + 1
  call('HSET', entry_key(id), 'state', 'waiting', 'since', now)
  stand_in_queue(id, owner, string.format('%d', tag), string.format('%016d:', ticket) .. id)
end

-- Take one out whose turn it is, wherever it waits.
local function claim_place(id)
  local place, tag, owner = unpack(call('HMGET', entry_key(id), 'place', 'tag', 'owner'))
  if call('ZREM', ORDER, place) == 0 then
    call('ZREM', RETURNED, place)
    return
  end
  local virtual_time = call('HGET', META, 'virtual_time') or 0
  if tonumber(tag) > tonumber(virtual_time) then call('HSET', META, 'virtual_time', tag) end
  call('ZREM', queue_key(owner), place)
end

-- Take an entry out, if it is in the order; its owner's later ones each move up by one place.
local function withdraw_place(owner, place)
  local queue = queue_key(owner)
  local rank = call('ZRANK', queue, place)
  if not rank then
    call('ZREM', ORDER, place)
    return
  end
  local later = call('ZRANGE', queue, rank, -1, 'WITHSCORES')
  for i = 1, #later, 2 do
    call('ZREM', ORDER, later[i])
    call('ZREM', queue, later[i])
  end
  for i = 3, #later, 2 do
    local id = id_at(later[i])
    stand_in_queue(id, owner, later[i - 1], string.sub(later[i - 2], 1, 17) .. id)
    note_slot(id)
  end
end

-- Put an entry before or behind all others; false if it is not in the order.
local function move(id, edge)
  local owner, place = unpack(call('HMGET', entry_key(id), 'owner', 'place'))
  if not place or call('ZREM', ORDER, place) == 0 then return false end
  call('ZREM', queue_key(owner), place)
  local at = edge == 'front' and 0 or -1
  local tag = tonumber(call('ZRANGE', ORDER, at, at, 'WITHSCORES')[2])
  if not tag then
    tag = tonumber(call('HGET', entry_key(id), 'tag'))
  elseif edge == 'front' then
    close_gap() -- so that no newcomer gets a tag that is as small
    tag = tag - 1
  end
  stand(id, string.format('%d', tag), new_place(id))
  call('HSET', entry_key(id), 'left_to', '', 'moved', '1') -- it is reserved for nobody now
  note_slot(id)
  return true
end
