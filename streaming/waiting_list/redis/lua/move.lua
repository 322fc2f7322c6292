-- ARGV: nonce, id, 'front' or 'back'
-- Answers whether it had a position.
return answer_before(ARGV[1]) or answer(ARGV[1], move(ARGV[2], ARGV[3]))
