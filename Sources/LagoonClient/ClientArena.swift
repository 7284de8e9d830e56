import CPosix
import Glibc
import LagoonProtocol

/// Memory shared with the daemon: tensors are laid into it and results read out of it, without passing the socket.
///
/// The daemon made it and sealed its size, so no access inside `bytes` can fault, whatever the daemon does.
final class ClientArena {
  let bytes: UnsafeMutableRawBufferPointer

  init(bytes count: Int, through exchange: Exchange) throws(LagoonError) {
    var call = WireCreateArena()
    call.bytes = UInt64(count)
    var number: Int32 = -1
    let reply = try exchange.call(.createArena(call), descriptor: &number)
    guard case .arena(let reply)? = reply.result, number >= 0 else {
      throw exchange.unexpectedReply("create_arena")
    }
    let descriptor = Descriptor(owning: number)
    guard reply.bytes >= UInt64(count), lagoon_file_size(descriptor.number) >= Int64(count),
      lagoon_is_sealed_against_shrinking(descriptor.number) == 1
    else { throw exchange.lose("the daemon's arena is smaller than agreed, or not sealed") }
    var address: UnsafeMutableRawPointer?
    let result = lagoon_map_shared(descriptor.number, UInt64(count), &address)
    guard result == 0 else {
      let cause = SystemError(-result)
      throw exchange.lose("the arena of \(count) bytes cannot be mapped: \(cause)", cause)
    }
    bytes = UnsafeMutableRawBufferPointer(start: address, count: count)
  }

  deinit { lagoon_unmap(bytes.baseAddress, UInt64(bytes.count)) }
}

/// Offsets of pieces laid one behind the other, each at a multiple of 64.
struct Placement {
  private(set) var end = 0

  mutating func place(_ bytes: Int) -> Int {
    let offset = (end + 63) & ~63
    end = offset + bytes
    return offset
  }
}
