import Glibc

/// Where daemon and clients meet when nobody says otherwise.
public enum SocketPath {
  /// `$LAGOON_SOCKET`, else `$XDG_RUNTIME_DIR/lagoon.sock`, else `/tmp/lagoon-UID/lagoon.sock`.
  public static var standard: String {
    if let path = environment("LAGOON_SOCKET") { return path }
    if let folder = environment("XDG_RUNTIME_DIR") { return folder + "/lagoon.sock" }
    return "/tmp/lagoon-\(getuid())/lagoon.sock"
  }

  private static func environment(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return String(cString: value)
  }
}
