-- ARGV: nonce, id, 'front', 'back' or 'before', and with 'before' the other's id
-- Returns whether it is in the order, and the other one.
local earlier = earlier_answer(ARGV[1])
if earlier then return earlier end
if ARGV[3] == 'before' then return answer(ARGV[1], move_before(ARGV[2], ARGV[4])) end
return answer(ARGV[1], move(ARGV[2], ARGV[3]))
