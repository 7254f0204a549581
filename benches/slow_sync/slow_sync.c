/* A library for LD_PRELOAD that makes a disk slower: fsync and fdatasync take SLOW_SYNC_US microseconds longer than they
 * take by themselves.
 *
 * Nothing else that makes data durable is used by Postrider or RabbitMQ, as strace says: no msync, no files opened with
 * O_SYNC or O_DSYNC, no writes with RWF_DSYNC. sync_file_range, which RocksDB calls, starts writing back and promises
 * nothing. What a program asks of the system without the C library is not reached: nothing in a static Go program is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static struct timespec delay;
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void prepare(void) {
    const char *text = getenv("SLOW_SYNC_US");
    long us = text ? atol(text) : 0;
    delay.tv_sec = us / 1000000;
    delay.tv_nsec = us % 1000000 * 1000;
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
}

/* Waits in the calling thread, and leaves errno as the call has set it. */
static int then_wait(int result) {
    int error = errno;
    struct timespec left = delay;
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
    }
    errno = error;
    return result;
}

int fsync(int fd) { return then_wait(real_fsync(fd)); }

int fdatasync(int fd) { return then_wait(real_fdatasync(fd)); }
