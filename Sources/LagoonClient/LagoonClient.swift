// LagoonClient
