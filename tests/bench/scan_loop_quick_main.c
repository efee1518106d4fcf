/*
 * scan_loop_quick - scan_loop once more, with sscanf as the filter role has it: what is left between it and
 * the relay is what the relay does beside scanning.
 */
#include "filters/worker/interpose_number.c"

#include "tests/bench/scan_loop_main.c"
