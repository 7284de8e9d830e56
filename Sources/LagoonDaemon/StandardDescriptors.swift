import CPosix
import LagoonProtocol

/// Standard input, output and error.
public enum StandardDescriptors {
  /// Opens `/dev/null` for those that the process was started without: the store or a socket would get the number of one, and what is
  /// logged would be written into it. To be called before anything is opened.
  ///
  /// - Throws: `system`.
  public static func open() throws(DaemonError) {
    let failure = lagoon_open_standard_descriptors()
    if failure != 0 { throw DaemonError("/dev/null cannot be opened", SystemError(-failure)) }
  }
}
