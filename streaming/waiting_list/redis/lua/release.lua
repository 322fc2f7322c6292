-- ARGV: nonce, id, token, '1' if the attempt does not count
-- Returns whether the lease was valid.
local earlier = earlier_answer(ARGV[1])
if earlier then return earlier end
if not leased(ARGV[2], ARGV[3]) then return 'false' end
give_back(ARGV[2], ARGV[4] == '1')
return answer(ARGV[1], true)
