-- ARGV: '1' to pause or '0', then a worker, or nothing for all
-- Returns whether there is such a worker.
local key = META
if ARGV[2] then
  key = worker_key(ARGV[2])
  if call('EXISTS', key) == 0 then return 'false' end
end
if ARGV[1] == '1' then call('HSET', key, 'paused', '1') else call('HDEL', key, 'paused') end
return 'true'
