// LagoonProtocol
