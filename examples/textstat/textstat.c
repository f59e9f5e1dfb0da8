/* textstat: see textstat.h. Knows nothing of processes. */
#include "textstat.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define WORDS_MAX   1000
#define LETTERS_MAX 32 /* of a word that are looked at, less one */

static struct word {
	char letters[LETTERS_MAX];
	long count;
} words[WORDS_MAX];
static int n_words;
static long total;

/* Takes the next word from *text; false at the end. */
static bool next_word(const char **text, char *ret_word)
{
	const char *at = *text;
	size_t n = 0;

	while (*at && !isalpha((unsigned char)*at))
		at++;
	for (; isalpha((unsigned char)*at); at++)
		if (n < LETTERS_MAX - 1)
			ret_word[n++] = (char)tolower((unsigned char)*at);
	ret_word[n] = 0;
	*text = at;
	return n > 0;
}

static struct word *find(const char *letters)
{
	for (int i = 0; i < n_words; i++)
		if (strcmp(words[i].letters, letters) == 0)
			return &words[i];
	return NULL;
}

int textstat_add(const char *text)
{
	char letters[LETTERS_MAX];
	int n = 0;

	while (next_word(&text, letters)) {
		struct word *word = find(letters);

		if (!word && n_words == WORDS_MAX)
			return -1;
		if (!word) {
			word = &words[n_words++];
			strcpy(word->letters, letters);
		}
		word->count++;
		total++;
		n++;
	}
	return n;
}

long textstat_total(void)
{
	return total;
}

long textstat_count(const char *text)
{
	char letters[LETTERS_MAX];
	const struct word *word = next_word(&text, letters) ? find(letters) : NULL;

	return word ? word->count : 0;
}

long textstat_top(char *ret_word, size_t size)
{
	const struct word *top = NULL;

	for (int i = 0; i < n_words; i++)
		if (!top || words[i].count > top->count)
			top = &words[i];
	if (size) {
		strncpy(ret_word, top ? top->letters : "", size - 1);
		ret_word[size - 1] = 0;
	}
	return top ? top->count : 0;
}

void textstat_clear(void)
{
	memset(words, 0, sizeof words);
	n_words = 0;
	total = 0;
}
