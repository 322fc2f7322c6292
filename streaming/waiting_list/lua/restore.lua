-- ARGV: '1' if nothing else is to be restored, for how many ms each counts as viewed, then for each
--       entry: id, owner, conversation, address, max_tokens, said, ran, tag or '', ticket, moved
local seen = now + tonumber(ARGV[2])

-- Whoever enters from now on stands behind this place.
local function count_place(tag, ticket)
  for name, value in pairs({virtual_time = tag, ticket = ticket}) do
    if tonumber(value) > tonumber(call('HGET', META, name) or 0) then
      call('HSET', META, name, value)
    end
  end
end

local function restore(id, owner, conversation, address, max_tokens, said, ran, tag, ticket, moved)
  if look(id)[1] ~= 'unknown' then return end
  local is_held = open_entry(id, owner, conversation, address, max_tokens, said, seen)
  if ran ~= '1' then call('ZADD', UNCLAIMED, now, id) end
  if is_held then
    call('ZADD', HELD, next_ticket(), id)
    return
  end
  if tag ~= '' then count_place(tag, ticket) end
  if tag == '' and ran ~= '1' then
    enter_order(id, owner, next_ticket())
    note_slot(id)
    return
  end
  if tag == '' then tag, ticket, moved = '0', next_ticket(), '0' end
  local place = string.format('%016d:', ticket) .. id
  call('HSET', entry_key(id), 'state', 'waiting', 'moved', moved)
  if ran == '1' then
    call('HSET', entry_key(id), 'tag', tag, 'place', place)
    call('ZADD', RETURNED, tag, place)
  elseif moved == '1' then
    stand(id, tag, place)
  else
    stand_in_queue(id, owner, tag, place)
  end
end

for i = 3, #ARGV, 10 do restore(unpack(ARGV, i, i + 9)) end
if ARGV[1] == '1' then call('HSET', META, 'restored', '1') end
return 'true'
