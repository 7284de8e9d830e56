#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CPosix.h"

#include <errno.h>
#include <signal.h>

int lagoon_ignores_signal(int number) {
  struct sigaction action;
  return sigaction(number, NULL, &action) == 0 ? action.sa_handler == SIG_IGN : -errno;
}
