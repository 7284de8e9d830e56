#pragma once

/// Whether the process ignores a signal, as what nohup(1) starts does SIGHUP: 1, 0, or a negated errno.
int lagoon_ignores_signal(int number);
