#pragma once
#include <stddef.h>
#include <stdint.h>

/// Anonymous shared memory of `bytes` bytes whose every page is allocated already and whose size is sealed: neither end can
/// shrink it under the other, and a shortage of memory shows here, not as a signal later.
/// Returns a descriptor (close-on-exec) or a negated errno (ENOMEM or ENOSPC: no memory).
int lagoon_create_sealed_memory(const char *name, uint64_t bytes);

/// Maps `bytes` bytes of `descriptor` for reading and writing, shared. Returns 0 and sets `*address`, or a negated errno.
int lagoon_map_shared(int descriptor, uint64_t bytes, void **address);

/// Maps `bytes` bytes of private zeroed memory, which cost nothing until they are written to.
/// Returns 0 and sets `*address`, or a negated errno.
int lagoon_map_private(uint64_t bytes, void **address);

/// Returns a mapping to the system.
void lagoon_unmap(void *address, uint64_t bytes);

/// Gives a memory file's pages back to the system; they read as zeros from then on, whoever still has it. fallocate(2).
void lagoon_release_pages(int descriptor, uint64_t bytes);

/// Gives the disk a part of a file back; it reads as zeros from then on, and the file stays as long as it is. fallocate(2).
/// Returns 0 or a negated errno (EOPNOTSUPP: not on this file system).
int lagoon_punch_hole(int descriptor, uint64_t offset, uint64_t bytes);

/// The size of the file behind `descriptor`, or a negated errno.
int64_t lagoon_file_size(int descriptor);

/// Whether the size of the memory behind `descriptor` is sealed against shrinking: 1, 0, or a negated errno.
int lagoon_is_sealed_against_shrinking(int descriptor);

/// Lets the allocator keep up to `bytes` freed bytes at the end of each of its heaps instead of returning them at once.
/// Without this, whether a write transaction's pages (allocated and freed in every commit) stay resident depends on what
/// happens to lie above them, and memory figures jump by a transaction's size. Blocks of `block` bytes and more are mapped and
/// unmapped each on its own, so that all their pages are faulted in again each time. No effect outside glibc.
void lagoon_keep_freed_memory(size_t bytes, size_t block);

/// Names the calling thread for debuggers and `ps`; the system takes 15 bytes.
void lagoon_name_thread(const char *name);
