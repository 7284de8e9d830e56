#pragma once
// POSIX and Linux calls that Swift's Glibc module does not reach: variadics, macros, control messages.
// Every function here returns 0 or more on success and a negated errno on failure, and touches no global state.
#include "CPosixMemory.h"
#include "CPosixProcess.h"
#include "CPosixSocket.h"
