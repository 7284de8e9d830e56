#pragma once

/// Opens /dev/null for each of the descriptors 0, 1 and 2 that is closed, so that no file and no socket gets its number.
/// Standard input is then empty, writes to standard output fail (EBADF, as on a closed one), and what is written to standard
/// error is lost. To be called before anything is opened. Returns 0 or a negated errno.
int lagoon_open_standard_descriptors(void);

/// Whether the process ignores a signal, as what nohup(1) starts does SIGHUP: 1, 0, or a negated errno.
int lagoon_ignores_signal(int number);
