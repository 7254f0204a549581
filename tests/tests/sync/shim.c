/* Stands in front of fsync and fdatasync: the SHIM_FAIL-th call fails with EIO, after it has made the file
 * SHIM_FAILED. With SHIM_SYNCED each call takes 20 ms more, and adds a byte to that file when it is done. Only threads
 * of the process that was started are counted. */
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
    const char *synced = getenv("SHIM_SYNCED");
    if (!synced)
        return real(fd);
    usleep(20 * 1000);
    int result = real(fd), count = open(synced, O_CREAT | O_WRONLY | O_APPEND, 0600);
    if (write(count, ".", 1) != 1)
        abort();
    close(count);
    return result;
}

int fsync(int fd) { return sync_or_fail("fsync", fd); }
int fdatasync(int fd) { return sync_or_fail("fdatasync", fd); }
