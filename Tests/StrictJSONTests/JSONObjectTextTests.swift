import StrictJSON
import Testing

@Suite struct JSONObjectTextTests {
  private func changed(_ text: String, _ name: String, _ json: String) throws -> String {
    var object = try JSONObjectText(Array(text.utf8))
    try object.set(name, to: json)
    return String(decoding: object.bytes, as: UTF8.self)
  }

  @Test func aValueIsReplacedAndNothingElse() throws {
    let text = "  {\n \"a\" :1.50 ,\"b\":{\"a\": [1, {\"a\": 2}]},\n\t\"é\\u00e9\": \"a\"}\n"
    #expect(
      try changed(text, "a", "[true]")
        == "  {\n \"a\" :[true] ,\"b\":{\"a\": [1, {\"a\": 2}]},\n\t\"é\\u00e9\": \"a\"}\n")
    #expect(
      try changed(text, "b", "null") == "  {\n \"a\" :1.50 ,\"b\":null,\n\t\"é\\u00e9\": \"a\"}\n")
    #expect(
      try changed(text, "éé", "-2e9")
        == "  {\n \"a\" :1.50 ,\"b\":{\"a\": [1, {\"a\": 2}]},\n\t\"é\\u00e9\": -2e9}\n")
  }

  @Test func aMemberIsAddedLikeTheOthers() throws {
    #expect(
      try changed("{\n  \"a\": 1,\n  \"b\": \"}\"\n}\n", "c", "2")
        == "{\n  \"a\": 1,\n  \"b\": \"}\",\n  \"c\": 2\n}\n")
    #expect(try changed("{\"a\":1}", "c", "2") == "{\"a\":1,\"c\": 2}")
    #expect(try changed("{ }", "c", "2") == "{\"c\": 2 }")
  }

  @Test func membersAreFound() throws {
    let object = try JSONObjectText(Array("{\"a\": {\"b\": null}, \"c\": null}".utf8))
    #expect(try object.has("a") && object.has("c") && !object.has("b"))
  }

  @Test func whatIsNoObjectIsRefused() {
    for text in ["", "[]", "{\"a\": 1} x", "{\"a\": }", "{\"a\": 1, \"a\": 2}"] {
      #expect(throws: JSONError.self) { try JSONObjectText(Array(text.utf8)) }
    }
  }
}
