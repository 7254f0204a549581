/* Stands in front of fsync and fdatasync: the SHIM_FAIL-th call fails with EIO, after it has made the file
 * SHIM_FAILED. Only threads of the process that was started are counted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_long calls;

static int sync_or_fail(const char *name, int fd) {
    const char *fail = getenv("SHIM_FAIL"), *failed = getenv("SHIM_FAILED");
    if (fail && failed && atomic_fetch_add(&calls, 1) + 1 == atol(fail)) {
        close(open(failed, O_CREAT | O_WRONLY, 0600));
        errno = EIO;
        return -1;
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) { return sync_or_fail("fsync", fd); }
int fdatasync(int fd) { return sync_or_fail("fdatasync", fd); }
