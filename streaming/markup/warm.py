"""Imported by the process that the pool's are forked from, so that none of them has to begin."""

import logging

from streaming.markup import html as html
from streaming.markup.code import lexer
from streaming.markup.languages import LANGUAGES

for _language in LANGUAGES:
    try:
        lexer(_language)
    except Exception:  # which would be that process's end
        logging.getLogger(__name__).exception("There is no lexer for %s.", _language)
