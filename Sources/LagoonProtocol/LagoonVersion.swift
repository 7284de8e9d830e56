/// The version of this package, as the daemon tells it to clients.
public enum LagoonVersion {
  public static let string = "0.1.0"
}
