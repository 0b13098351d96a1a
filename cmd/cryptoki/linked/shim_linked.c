//go:build linux

/* The shim as a host loads it, but with the core in the same program. */
#define SP_CORE_LINKED
#include "../shim/shim.c"
