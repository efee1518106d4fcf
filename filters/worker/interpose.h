/*
 * interpose.h - how many file calls of libc have failed in this process.
 *
 * libclamav does not check fflush and fclose, so a full temporary folder makes it say "clean".
 * The filter program therefore defines these calls itself (interpose.c), calls the real ones and
 * counts.  Only that program is linked with it: elsewhere the symbol is absent and NULL.
 */
#ifndef WORKER_INTERPOSE_H
#define WORKER_INTERPOSE_H

unsigned long interpose_failures(void) __attribute__((weak));

#endif
