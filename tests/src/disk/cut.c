/* Takes the power from a mounted ext4: from now on nothing gets to its disk, not even its journal. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define WITHOUT_FLUSHING_THE_JOURNAL 2

int main(int count, char **arguments) {
    uint32_t how = WITHOUT_FLUSHING_THE_JOURNAL;
    int root = count == 2 ? open(arguments[1], O_RDONLY | O_DIRECTORY) : -1;
    if (root < 0 || ioctl(root, EXT4_IOC_SHUTDOWN, &how) != 0) {
        perror("the power cannot be cut");
        return 1;
    }
    return 0;
}
