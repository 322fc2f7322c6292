-- ARGV: nonce, the sample
local before = answer_before(ARGV[1])
if before then return before end
call('RPUSH', SAMPLES, ARGV[2])
call('LTRIM', SAMPLES, -SAMPLES_KEPT, -1)
return answer(ARGV[1], true)
