-- ARGV: nonce, the sample
-- Returns true.
local earlier = earlier_answer(ARGV[1])
if earlier then return earlier end
call('RPUSH', SAMPLES, ARGV[2])
call('LTRIM', SAMPLES, -SAMPLES_KEPT, -1)
return answer(ARGV[1], true)
