-- Answers whether it has been given what the record holds open.
return is_lost() and 'false' or 'true'
