-- ARGV: pairs of an id and its slot, which the record has now
-- Returns true.
for i = 1, #ARGV, 2 do
  if call('HGET', UNSAVED, ARGV[i]) == ARGV[i + 1] then call('HDEL', UNSAVED, ARGV[i]) end
end
return 'true'
