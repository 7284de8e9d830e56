#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CPosix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int lagoon_create_sealed_memory(const char *name, uint64_t bytes) {
  if (bytes == 0 || bytes > INT64_MAX) return -EINVAL;
  const int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return -errno;
  int failure = 0;
  do {
    failure = fallocate(descriptor, 0, 0, (off_t)bytes) == 0 ? 0 : errno;
  } while (failure == EINTR);
  if (failure == 0 && fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) failure = errno;
  if (failure != 0) {
    close(descriptor);
    return -failure;
  }
  return descriptor;
}

static int map(int descriptor, uint64_t bytes, int flags, void **address) {
  if (bytes == 0 || bytes > SIZE_MAX / 2) return -EINVAL;
  void *const start = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, flags, descriptor, 0);
  if (start == MAP_FAILED) return -errno;
  *address = start;
  return 0;
}

int lagoon_map_shared(int descriptor, uint64_t bytes, void **address) {
  return map(descriptor, bytes, MAP_SHARED, address);
}

int lagoon_map_private(uint64_t bytes, void **address) {
  return map(-1, bytes, MAP_PRIVATE | MAP_ANONYMOUS, address);
}

void lagoon_unmap(void *address, uint64_t bytes) { munmap(address, (size_t)bytes); }

int64_t lagoon_file_size(int descriptor) {
  struct stat status;
  return fstat(descriptor, &status) == 0 ? (int64_t)status.st_size : -errno;
}

int lagoon_is_sealed_against_shrinking(int descriptor) {
  const int seals = fcntl(descriptor, F_GET_SEALS);
  return seals < 0 ? -errno : (seals & F_SEAL_SHRINK) != 0;
}

void lagoon_keep_freed_memory(size_t bytes, size_t block) {
#ifdef __GLIBC__
  mallopt(M_TRIM_THRESHOLD, bytes > INT_MAX ? INT_MAX : (int)bytes);
  mallopt(M_MMAP_THRESHOLD, block > INT_MAX ? INT_MAX : (int)block);
#endif
}

void lagoon_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

void lagoon_release_pages(int descriptor, uint64_t bytes) {
  // Failure leaves the pages until the last descriptor closes, as without this call.
  (void)!fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes);
}

int lagoon_punch_hole(int descriptor, uint64_t offset, uint64_t bytes) {
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  return fallocate(descriptor, mode, (off_t)offset, (off_t)bytes) == 0 ? 0 : -errno;
}
