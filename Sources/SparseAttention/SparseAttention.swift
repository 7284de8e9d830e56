// SparseAttention
