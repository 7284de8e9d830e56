#pragma once
// POSIX and Linux calls that Swift's Glibc module does not reach: variadics, macros, control messages.
