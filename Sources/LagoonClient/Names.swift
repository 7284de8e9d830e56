import LagKV
import LagoonProtocol

// The vocabulary of this module's API, so that a client imports LagoonClient alone.
public typealias ElementType = LagKV.ElementType
public typealias PolicyKind = LagKV.PolicyKind
public typealias Codec = LagKV.Codec
public typealias TokenHash = LagKV.TokenHash
