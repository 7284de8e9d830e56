import StrictJSON

extension TokenizerFile {
  /// Bytes of an added token. Searching takes up to this many steps for each byte of a text.
  static let longestAddedToken = 512

  static func addedTokens(_ scanner: inout JSONScanner) throws(TokenizerError) -> [AddedToken] {
    let field = "added_tokens"
    var tokens: [AddedToken] = []
    try reading(field, &scanner) { scanner throws(JSONError) in try scanner.beginArray() }
    while try reading(field, &scanner, { scanner throws(JSONError) in try scanner.nextElement() }) {
      let path = "\(field)[\(tokens.count)]"
      guard tokens.count < maximumTokens else {
        throw TokenizerError(.unsupported, "more than \(maximumTokens) tokens", name: field)
      }
      let value = try reading(path, &scanner) { scanner throws(JSONError) in
        try JSONValue(reading: &scanner, maximumValues: 64)
      }
      tokens.append(try addedToken(value, path: path))
    }
    return tokens
  }

  private static func addedToken(_ value: JSONValue, path: String) throws(TokenizerError) -> AddedToken {
    var fields = try TokenizerFields(value, path: path)
    let id = fields.take("id")
    guard case .integer(let number) = id, (0..<maximumID).contains(number) else {
      throw fields.unsupported("id", id)
    }
    let content = Array(try fields.string("content").utf8)
    guard (1...longestAddedToken).contains(content.count) else {
      throw TokenizerError(
        .unsupported, "\(content.count) bytes; 1 to \(longestAddedToken) are supported",
        name: "\(path).content")
    }
    let special = try fields.boolean("special")
    let token = AddedToken(
      id: UInt32(number), content: content, isSpecial: special,
      isNormalized: try fields.boolean("normalized", !special),
      stripsLeft: try fields.boolean("lstrip", false),
      stripsRight: try fields.boolean("rstrip", false), isSingleWord: try fields.boolean("single_word", false)
    )
    try fields.finish()
    return token
  }
}

extension ModelFields {
  /// An added token is one of the vocabulary, under its id, or has an id of its own; no two are the same.
  func check(_ added: [AddedToken]) throws(TokenizerError) {
    var owners: [UInt32: Int] = [:]
    for (index, id) in ids.enumerated() { owners[id] = index }
    var contents = ByteStringTable()
    for (index, token) in added.enumerated() {
      let known = strings.index(of: token.content.span)
      if let known, ids[known] != token.id {
        throw TokenizerError(
          .malformed, "the id \(token.id), but \(ids[known]) in the vocabulary",
          name: "added_tokens[\(index)].id")
      }
      guard known != nil || owners.updateValue(-1, forKey: token.id) == nil else {
        throw TokenizerError(
          .malformed, "the id \(token.id) is another token's", name: "added_tokens[\(index)].id")
      }
      guard contents.insert(token.content.span).isNew else {
        throw TokenizerError(.malformed, "stands twice", name: "added_tokens[\(index)].content")
      }
    }
  }
}
