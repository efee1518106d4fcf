/* stamp.h - whether a file, or the files of a folder, are others than before: names, sizes and times. */
#ifndef WORKER_STAMP_H
#define WORKER_STAMP_H
#include <stdint.h>

/* Equal for equal contents of the folder, whatever order it lists them in; 0: it cannot be read. */
uint64_t stamp_folder(const char *path);
/* Of one file; 0: there is none, or it is no file. */
uint64_t stamp_file(const char *path);

#endif
