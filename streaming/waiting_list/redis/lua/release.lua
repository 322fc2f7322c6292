-- ARGV: nonce, id, token, 1 if the attempt is forgiven
local before = answer_before(ARGV[1])
if before then return before end
if not leased(ARGV[2], ARGV[3]) then return 'false' end
give_back(ARGV[2], ARGV[4] == '1')
return answer(ARGV[1], true)
