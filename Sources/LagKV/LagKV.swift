// LagKV
