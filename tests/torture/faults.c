/* Lets calls of the C library fail for files below a folder: loaded into the program by LD_PRELOAD.
 *
 *   FAULTS_UNDER   the folder
 *   FAULTS_CALLS   which calls: any of unlink rename fsync opendir write, in one word
 *   FAULTS_ONE_IN  one call in so many fails; 1: all
 *   FAULTS_SEED    which
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_ulong count;

static int fails(const char *call, const char *path, int error) {
    const char *under = getenv("FAULTS_UNDER"), *calls = getenv("FAULTS_CALLS");
    const char *one_in = getenv("FAULTS_ONE_IN"), *seed = getenv("FAULTS_SEED");
    if (!under || !calls || !one_in || !path) return 0;
    if (!strstr(calls, call) || strncmp(path, under, strlen(under)) != 0) return 0;
    unsigned long n = atomic_fetch_add(&count, 1) + (seed ? strtoul(seed, 0, 10) : 0) * 1000003ul;
    n = (n ^ (n >> 15)) * 0x9e3779b97f4a7c15ul;
    if ((n >> 33) % strtoul(one_in, 0, 10) != 0) return 0;
    errno = error;
    return 1;
}

static const char *name_of(int fd, char *buffer) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length < 0) return 0;
    buffer[length] = 0;
    return buffer;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    return fails("unlink", path, EPERM) ? -1 : real(path);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    return fails("rename", to, EIO) ? -1 : real(from, to);
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    char path[PATH_MAX];
    int kept = errno;
    const char *name = name_of(fd, path);
    errno = kept;
    return fails("fsync", name, EIO) ? -1 : real(fd);
}

DIR *opendir(const char *path) {
    REAL(DIR *, "opendir", const char *);
    return fails("opendir", path, EIO) ? 0 : real(path);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    REAL(ssize_t, "write", int, const void *, size_t);
    char path[PATH_MAX];
    int kept = errno;
    const char *calls = getenv("FAULTS_CALLS");
    const char *name = calls && strstr(calls, "write") ? name_of(fd, path) : 0;
    errno = kept;
    return fails("write", name, ENOSPC) ? -1 : real(fd, bytes, length);
}
