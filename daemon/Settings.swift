import Foundation
import KVStore
import Logging

/// What the command line and the configuration file say; nil where neither does.
struct Settings {
  var store: String?
  var socket: String?
  var quota: ByteSize?
  var durability: Durability?
  var logLevel: Logger.Level?
  var threads: Int?
  var coldAfter: Age?
  var stopAtEOF = false

  static let threadRange = 1...1024

  init() {}

  /// Reads a JSON object whose keys are the options' names.
  /// - Throws: naming the key that is unknown, or whose value cannot be.
  init(file path: String) throws {
    let object: Any
    do {
      object = try JSONSerialization.jsonObject(with: try Data(contentsOf: URL(fileURLWithPath: path)))
    } catch {
      throw Self.failure(path, "cannot be read as JSON: \(error)")
    }
    guard let entries = object as? [String: Any] else { throw Self.failure(path, "is not a JSON object") }
    for (key, value) in entries.sorted(by: { $0.key < $1.key }) {
      guard try take(key, value) else {
        throw Self.failure(
          path, "\"\(key)\" cannot be \(value); expected is \(Self.expected[key] ?? "something else")")
      }
    }

    func take(_ key: String, _ value: Any) throws -> Bool {
      switch key {
      case "store":
        store = value as? String
        return store != nil
      case "socket":
        socket = value as? String
        return socket != nil
      case "quota":
        quota =
          (value as? String).flatMap(ByteSize.init(argument:))
          ?? Self.integer(value).map(ByteSize.init(bytes:))
        return quota != nil
      case "durability":
        durability = (value as? String).flatMap(Durability.init(rawValue:))
        return durability != nil
      case "log-level":
        logLevel = (value as? String).flatMap(Logger.Level.init(rawValue:))
        return logLevel != nil
      case "threads":
        threads = Self.integer(value)
        return threads.map(Self.threadRange.contains) ?? false
      case "cold-after":
        coldAfter = (value as? String).flatMap(Age.init(argument:))
        return coldAfter != nil
      case "stop-at-eof":
        guard let number = value as? NSNumber, Self.isBoolean(number) else { return false }
        stopAtEOF = number.boolValue
        return true
      default:
        throw Self.failure(
          path, "\"\(key)\" is no option; known are \(Self.expected.keys.sorted().joined(separator: ", "))")
      }
    }
  }

  private static let expected = [
    "store": "a path", "socket": "a path", "quota": "a size such as \"64GiB\"",
    "durability": "\"process\", \"ordered\" or \"full\"", "log-level": "a level such as \"info\"",
    "threads": "a number in \(threadRange)", "cold-after": "a time such as \"24h\", or \"never\"",
    "stop-at-eof": "true or false",
  ]

  private static func integer(_ value: Any) -> Int? {
    guard let number = value as? NSNumber, !isBoolean(number) else { return nil }
    return Int(exactly: number.doubleValue)
  }

  private static func isBoolean(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }

  /// What is wrong with the configuration file at `path`.
  static func failure(_ path: String, _ message: String) -> Failure {
    Failure(EX_CONFIG, "the configuration file \(path): \(message)")
  }

  /// `$XDG_DATA_HOME/lagoon`, or `.local/share/lagoon` in `$HOME`, else in the home folder that the system knows of the user.
  static var defaultStore: String {
    func variable(_ name: String) -> String? {
      ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }
    let data = variable("XDG_DATA_HOME") ?? (variable("HOME") ?? NSHomeDirectory()) + "/.local/share"
    return data + "/lagoon"
  }
}
