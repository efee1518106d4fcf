/* share.h - makes the zygote cheap to fork, once everything is loaded. */
#ifndef WORKER_SHARE_H
#define WORKER_SHARE_H

/*
 * Gives free heap back and turns large, filled anonymous memory into huge pages: a fork then
 * copies 1/512 of the page table (measured: 13 ms to 0.8 ms for 300 MB).  Speed only: what the
 * kernel refuses stays as it is.
 */
void share_memory(void);

#endif
