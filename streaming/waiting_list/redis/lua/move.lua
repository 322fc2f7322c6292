-- ARGV: nonce, id, 'front' or 'back'
-- Returns whether it is in the order.
return earlier_answer(ARGV[1]) or answer(ARGV[1], move(ARGV[2], ARGV[3]))
