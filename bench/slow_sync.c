/* Preloaded by bench/store.py: every fsync and fdatasync of the process takes SLOW_SYNC_US longer,
   as on a network disk, and is counted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_long made;

long syncs_made(void) { return made; }

static int slowly(const char *name, int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *longer_us = getenv("SLOW_SYNC_US");

    made++;
    usleep(longer_us ? (useconds_t)atoi(longer_us) : 0);
    return real(file);
}

int fsync(int file) { return slowly("fsync", file); }

int fdatasync(int file) { return slowly("fdatasync", file); }
