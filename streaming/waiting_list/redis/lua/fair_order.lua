-- Precedes every script, after prelude.lua: start-time fair queueing between owners.
-- interface/waiting_list.py describes the rule; memory/fair_order.py is the same for the list in
-- memory.
--
-- A slot is a tag and an arrival ticket. In a zset the tag is the score. The member is called the
-- place: "0000000000000042:ID", the ticket before the id. Redis sorts by score, then by member, and
-- both stay exact. The entry keeps its `tag` and its `place` while it runs.
-- Entries that were moved are in no owner's queue, and are `moved` until they end.

local function next_ticket() return call('HINCRBY', META, 'ticket', 1) end
local function queue_key(owner) return BASE .. 'queue:' .. owner end
local function id_at(place) return string.sub(place, 18) end

local function new_place(id) return string.format('%016d:', next_ticket()) .. id end

-- Put an entry into the order, in no owner's queue.
local function put_in_order(id, tag, place)
  call('HSET', entry_key(id), 'tag', tag, 'place', place)
  call('ZADD', ORDER, tag, place)
end

-- Put an entry into the order and into its owner's queue.
local function put_in_queue(id, owner, tag, place)
  put_in_order(id, tag, place)
  call('ZADD', queue_key(owner), tag, place)
end

-- Return a slot as `Slot.text` in interface/entries.py; '' for a held entry.
local function slot_text(tag, place, moved)
  if not place or place == '' then return '' end
  local ticket = string.format('%d', tonumber(string.sub(place, 1, 16)))
  return tag .. ':' .. ticket .. ':' .. (moved == '1' and '1' or '0')
end

local function slot_of(id)
  return slot_text(unpack(call('HMGET', entry_key(id), 'tag', 'place', 'moved')))
end

-- Note a slot that `enqueue` did not return, for the record.
local function note_slot(id) call('HSET', UNSAVED, id, slot_of(id)) end

-- Return the virtual time, rounds passed over that moves have emptied: the next one is that of
-- somebody who waits. Then whether it differs from the one that is kept.
local function present_time()
  local present = call('HGET', META, 'virtual_time') or '0'
  local later = call('ZRANGEBYSCORE', ORDER, '(' .. present, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not later[2] or later[2] - 1 == tonumber(present) then return tonumber(present), false end
  return later[2] - 1, true
end

-- Keep the virtual time as it is now; return it.
local function close_gap()
  local present, is_new = present_time()
  if is_new then call('HSET', META, 'virtual_time', string.format('%d', present)) end
  return present
end

-- Return how many of the order stand before an entry that `enter_order` would add for a new owner.
local function before_newcomer()
  return call('ZCOUNT', ORDER, '-inf', string.format('%d', present_time() + 1))
end

-- Give an entry its slot in the order. If nothing else of the owner waits, the virtual time has
-- passed the owner's last tag, so that no such tag needs to be kept.
local function enter_order(id, owner, ticket)
  local last = call('ZRANGE', queue_key(owner), -1, -1, 'WITHSCORES')[2] or 0
  local tag = math.max(close_gap(), tonumber(last)) + 1
  call('HSET', entry_key(id), 'state', 'waiting', 'since', now)
  put_in_queue(id, owner, string.format('%d', tag), string.format('%016d:', ticket) .. id)
end

-- Remove an entry that is claimed from where it waits, and advance the virtual time to its tag.
local function claim_slot(id)
  local place, tag, owner = unpack(call('HMGET', entry_key(id), 'place', 'tag', 'owner'))
  if call('ZREM', ORDER, place) == 0 then
    call('ZREM', RETURNED, place)
    return
  end
  local virtual_time = call('HGET', META, 'virtual_time') or 0
  if tonumber(tag) > tonumber(virtual_time) then call('HSET', META, 'virtual_time', tag) end
  call('ZREM', queue_key(owner), place)
end

-- Remove an entry from the order, if it is there; each later one of its owner inherits the slot of
-- the one before it.
local function withdraw_slot(owner, place)
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
    put_in_queue(id, owner, later[i - 1], string.sub(later[i - 2], 1, 17) .. id)
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
  put_in_order(id, string.format('%d', tag), new_place(id))
  call('HSET', entry_key(id), 'left_to', '', 'moved', '1') -- any worker may claim it now
  note_slot(id)
  return true
end

-- Put an entry directly before another; those between take the slots of their neighbours. False if
-- either is not in the order.
local function move_before(id, other)
  local place = call('HGET', entry_key(id), 'place')
  local other_place = call('HGET', entry_key(other), 'place')
  local at = place and call('ZRANK', ORDER, place)
  local to = other_place and call('ZRANK', ORDER, other_place)
  if not at or not to then return false end
  if at == to then return true end
  local rows
  if at < to then
    rows = call('ZRANGE', ORDER, at, to - 1, 'WITHSCORES')
  else
    rows = call('ZRANGE', ORDER, to, at, 'WITHSCORES')
  end
  local ids = {}
  for i = 1, #rows, 2 do
    local each = id_at(rows[i])
    call('ZREM', ORDER, rows[i])
    call('ZREM', queue_key(call('HGET', entry_key(each), 'owner')), rows[i])
    if each ~= id then ids[#ids + 1] = each end
  end
  table.insert(ids, at < to and #ids + 1 or 1, id)
  call('HSET', entry_key(id), 'left_to', '', 'moved', '1') -- any worker may claim it now
  for i, each in ipairs(ids) do
    local slot, tag = string.sub(rows[2 * i - 1], 1, 17) .. each, rows[2 * i]
    local owner, moved = unpack(call('HMGET', entry_key(each), 'owner', 'moved'))
    if moved == '1' then put_in_order(each, tag, slot) else put_in_queue(each, owner, tag, slot) end
    note_slot(each)
  end
  return true
end
