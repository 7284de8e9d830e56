import Synchronization

/// Counts the bytes that one owner (a connection) has reserved for staged rows, against a cap.
public final class StagingAccount: Sendable {
  public let cap: Int
  private let used = Mutex(0)

  /// - Parameter cap: bytes.
  public init(cap: Int) { self.cap = cap }

  /// Bytes reserved now.
  public var bytes: Int { used.withLock { $0 } }

  /// - Returns: false where the cap does not allow it.
  func reserve(_ bytes: Int) -> Bool {
    used.withLock { used in
      let (sum, overflow) = used.addingReportingOverflow(bytes)
      guard !overflow, sum <= cap else { return false }
      used = sum
      return true
    }
  }

  func release(_ bytes: Int) { used.withLock { $0 -= bytes } }
}

/// Bytes reserved in an owner's account and in the store's; released when the last reference goes.
final class StagingReservation: Sendable {
  private let accounts: [StagingAccount]
  let bytes: Int

  /// - Parameters:
  ///   - what: what takes them, for the error.
  ///   - hint: what to do where it is too much.
  /// - Throws: `tooLarge` where the bytes could never be reserved, `stagingFull` where they cannot now.
  init(
    _ bytes: Int, owner: StagingAccount, total: StagingAccount, for what: String = "this capacity",
    hint: String = "ask for fewer tokens and commit more often"
  ) throws(StoreError) {
    guard bytes <= owner.cap, bytes <= total.cap else {
      throw StoreError(
        .tooLarge,
        "\(what) needs up to \(bytes) staged bytes; a connection may stage \(owner.cap) and all together"
          + " \(total.cap): \(hint)")
    }
    guard owner.reserve(bytes) else {
      throw StoreError(
        .stagingFull,
        "\(what) needs up to \(bytes) staged bytes, and the connection has \(owner.bytes) of \(owner.cap) in use"
      )
    }
    guard total.reserve(bytes) else {
      owner.release(bytes)
      throw StoreError(
        .stagingFull,
        "\(what) needs up to \(bytes) staged bytes, and all connections together have \(total.bytes) of"
          + " \(total.cap) in use: try again later")
    }
    accounts = [owner, total]
    self.bytes = bytes
  }

  deinit { for account in accounts { account.release(bytes) } }
}

/// Integer arithmetic that remembers an overflow instead of trapping.
struct CheckedSize {
  private(set) var value: Int?

  init(_ value: Int) { self.value = value }

  static func + (a: CheckedSize, b: CheckedSize) -> CheckedSize {
    guard let x = a.value, let y = b.value else { return CheckedSize(overflow: ()) }
    let (sum, overflow) = x.addingReportingOverflow(y)
    return overflow ? CheckedSize(overflow: ()) : CheckedSize(sum)
  }

  static func * (a: CheckedSize, b: CheckedSize) -> CheckedSize {
    guard let x = a.value, let y = b.value else { return CheckedSize(overflow: ()) }
    let (product, overflow) = x.multipliedReportingOverflow(by: y)
    return overflow ? CheckedSize(overflow: ()) : CheckedSize(product)
  }

  private init(overflow: Void) { value = nil }
}
