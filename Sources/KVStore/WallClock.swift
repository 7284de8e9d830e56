import Glibc

extension StoreOptions {
  /// Seconds since 1970 by the system's clock.
  public static let wallClock: @Sendable () -> Int64 = {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Int64(now.tv_sec)
  }
}
