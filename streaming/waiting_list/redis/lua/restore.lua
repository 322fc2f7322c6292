-- ARGV: '1' if nothing else is to be restored, for how many ms each counts as viewed, then for each
--       entry an object {id, owner, conversation, address, max_tokens, said, ran, tag, ticket,
--       moved}. Numbers are texts there, so that they stay exact; without a slot the last three
--       are missing.
-- Returns true.
local seen = now + tonumber(ARGV[2])

-- Let all who enter from now on stand behind this slot.
local function pass_over(tag, ticket)
  for name, value in pairs({virtual_time = tag, ticket = ticket}) do
    if tonumber(value) > tonumber(call('HGET', META, name) or 0) then
      call('HSET', META, name, value)
    end
  end
end

local function restore(row)
  local id = row.id
  if look(id) ~= 'unknown' then return end
  local is_held = open_entry(id, row.owner, row.conversation, row.address, row.max_tokens,
    row.said, seen)
  if not row.ran then call('ZADD', UNCLAIMED, now, id) end
  if is_held then
    call('ZADD', HELD, next_ticket(), id)
    return
  end
  local tag, ticket, moved = row.tag, row.ticket, row.moved and '1' or '0'
  if tag then
    pass_over(tag, ticket)
  elseif row.ran then
    tag, ticket = '0', next_ticket()
  else
    enter_order(id, row.owner, next_ticket())
    note_slot(id)
    return
  end
  local place = string.format('%016d:', ticket) .. id
  call('HSET', entry_key(id), 'state', 'waiting', 'moved', moved)
  if row.ran then
    call('HSET', entry_key(id), 'tag', tag, 'place', place)
    call('ZADD', RETURNED, tag, place)
  elseif row.moved then
    put_in_order(id, tag, place)
  else
    put_in_queue(id, row.owner, tag, place)
  end
end

for i = 3, #ARGV do restore(cjson.decode(ARGV[i])) end
if ARGV[1] == '1' then call('HSET', META, 'restored', '1') end
return 'true'
