-- ARGV: nonce, id, token, event, log_ms
-- Answers the event's number, or null if the lease is no longer valid.
local before = answer_before(ARGV[1])
if before then return before end
if not leased(ARGV[2], ARGV[3]) then return 'null' end
return answer(ARGV[1], end_entry(ARGV[2], ARGV[4], ARGV[5]))
