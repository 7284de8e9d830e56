// LagoonDaemon
