import Foundation
import StrictJSON

extension ModelTokenizer {
  /// Bytes of a `tokenizer_config.json` that are looked at.
  private static let maximumConfiguration = 64 << 20

  /// Whether the folder has a chat template, in a file of its own or in `tokenizer_config.json`. Templates are never applied. A
  /// file that cannot be read, is larger than 64 MiB or is no JSON has none.
  public static func hasChatTemplate(folder: String) -> Bool {
    if FileManager.default.fileExists(atPath: folder + "/chat_template.jinja") { return true }
    guard
      let bytes = try? FileBytes.read(folder + "/tokenizer_config.json", atMost: maximumConfiguration)
    else { return false }
    do throws(JSONError) {
      return try hasTemplate(bytes)
    } catch {
      return false
    }
  }

  /// A template is a string, or an array of named ones.
  private static func hasTemplate(_ bytes: [UInt8]) throws(JSONError) -> Bool {
    var scanner = JSONScanner(bytes.span)
    var isThere = false
    try scanner.beginObject()
    while let name = try scanner.nextName() {
      if name == "chat_template" { isThere = try scanner.kind() != .null }
      try scanner.skipValue()
    }
    try scanner.finish()
    return isThere
  }
}
