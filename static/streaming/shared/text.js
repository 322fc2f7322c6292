// Texts as the server takes them, and as people see them.

// Half of a surrogate pair is no character, and no server can take it: a program that cuts a text
// between the two leaves one, and so do some keyboards.
export const wellFormed = (text) => text.replace(/\p{Surrogate}/gu, "\ufffd");

// Nothing in it can be seen: blanks, line breaks, characters without a width.
export const isBlank = (text) => !/[^\s\p{Control}\p{Format}]/u.test(text);
