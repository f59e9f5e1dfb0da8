/* textstat: counts the words of texts. An ordinary library with an ordinary header; it remembers what it was given. */
#ifndef TEXTSTAT_H
#define TEXTSTAT_H

#include <stddef.h>

/* Counts the words of text, too. Returns how many those are, or -1 when there is no room for more different words. */
int textstat_add(const char *text);

/* All words so far. */
long textstat_total(void);

/* How often word was among them. */
long textstat_count(const char *word);

/* Writes the most frequent word, cut to size bytes, and returns how often it was there. */
long textstat_top(char *ret_word, size_t size);

/* Starts anew. */
void textstat_clear(void);

#endif
