/* Loaded before the C library: the n-th call that opens, writes, flushes, closes, makes or renames
   a file below one folder fails, in whatever language the caller is written. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long failing, calls;
static int error_number, forever;

/* From now on the call `nth` fails with `number`; with `on` all after it, too. */
void fail_arm(const char *below, long nth, int number, int on) {
    strncpy(folder, below, sizeof folder - 1);
    failing = nth, error_number = number, forever = on, calls = 0;
}

/* Let all calls pass; gives the number of calls since fail_arm. */
long fail_disarm(void) {
    folder[0] = 0;
    return calls;
}

static int fails(const char *path) {
    if (!folder[0] || !path || strncmp(path, folder, strlen(folder))) return 0;
    calls++;
    if (calls != failing && !(forever && calls > failing)) return 0;
    errno = error_number;
    return 1;
}

static int fails_at(int descriptor) {
    char link[64], path[PATH_MAX] = "";
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    if (readlink(link, path, sizeof path - 1) < 0) return 0;
    return fails(path);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define OPEN(name)                                            \
    int name(const char *path, int flags, ...) {              \
        REAL(name);                                           \
        va_list rest;                                         \
        va_start(rest, flags);                                \
        int mode = va_arg(rest, int);                         \
        va_end(rest);                                         \
        return fails(path) ? -1 : real(path, flags, mode);    \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                              \
    int name(int at, const char *path, int flags, ...) {          \
        REAL(name);                                               \
        va_list rest;                                             \
        va_start(rest, flags);                                    \
        int mode = va_arg(rest, int);                             \
        va_end(rest);                                             \
        return fails(path) ? -1 : real(at, path, flags, mode);    \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                     \
    FILE *name(const char *path, const char *mode) {    \
        REAL(name);                                     \
        return fails(path) ? NULL : real(path, mode);   \
    }
FOPEN(fopen)
FOPEN(fopen64)

/* A disk that fills takes the first half. */
ssize_t write(int descriptor, const void *bytes, size_t count) {
    REAL(write);
    if (!fails_at(descriptor)) return real(descriptor, bytes, count);
    int number = errno;
    if (real(descriptor, bytes, count / 2) < 0) return -1;
    errno = number;
    return -1;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    REAL(writev);
    return fails_at(descriptor) ? -1 : real(descriptor, parts, count);
}

#define PWRITE(name, offset_type)                                                     \
    ssize_t name(int descriptor, const void *bytes, size_t count, offset_type at) {   \
        REAL(name);                                                                   \
        return fails_at(descriptor) ? -1 : real(descriptor, bytes, count, at);        \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define ON_DESCRIPTOR(name)                                    \
    int name(int descriptor) {                                 \
        REAL(name);                                            \
        return fails_at(descriptor) ? -1 : real(descriptor);   \
    }
ON_DESCRIPTOR(fsync)
ON_DESCRIPTOR(fdatasync)

/* A network's file system may tell of a full disk only here; the file is closed all the same. */
int close(int descriptor) {
    REAL(close);
    int failed = fails_at(descriptor), number = errno, done = real(descriptor);
    if (!failed) return done;
    errno = number;
    return -1;
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return fails(path) ? -1 : real(path, mode);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return fails(to) ? -1 : real(from, to);
}

int renameat(int at, const char *from, int there, const char *to) {
    REAL(renameat);
    return fails(to) ? -1 : real(at, from, there, to);
}
