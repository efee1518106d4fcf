/* corpus.h - a file of messages, as tests/bench/scan_corpus.py writes it: length in decimal, line end, bytes. */
#ifndef TESTS_CORPUS_H
#define TESTS_CORPUS_H
#include "relay/base/span.h"

/* How many; *messages is an array of them, mapped until the process ends.  Dies on what is no such file. */
size_t corpus_read(const char *path, struct span **messages);

#endif
