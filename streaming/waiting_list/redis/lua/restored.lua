-- Returns whether the list has what the record holds open.
return is_lost() and 'false' or 'true'
