#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CPosix.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

int lagoon_open_standard_descriptors(void) {
  static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};
  for (int number = STDIN_FILENO; number <= STDERR_FILENO; ++number) {
    if (fcntl(number, F_GETFD) >= 0) continue;
    // The lowest free number, which is this one: those below are open. Children inherit it, as they would any other.
    if (open("/dev/null", modes[number]) < 0) return -errno;
  }
  return 0;
}

int lagoon_ignores_signal(int number) {
  struct sigaction action;
  return sigaction(number, NULL, &action) == 0 ? action.sa_handler == SIG_IGN : -errno;
}
