-- ARGV: worker, capacity or '', drain: '1', '0' or ''
-- Returns whether there is such a worker.
local key = worker_key(ARGV[1])
if call('EXISTS', key) == 0 then return 'false' end
if ARGV[2] ~= '' then call('HSET', key, 'ordered', ARGV[2]) end
if ARGV[3] == '1' then call('HSET', key, 'drain', '1') end
if ARGV[3] == '0' then call('HDEL', key, 'drain') end
return 'true'
