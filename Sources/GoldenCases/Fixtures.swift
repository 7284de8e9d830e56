import Foundation

extension GoldenCase {
  /// The cases that the project's own tests use.
  package static let fixtures: [GoldenCase] = {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    // Tests count what is here, so that nothing unreadable goes unnoticed.
    return (try? all(in: root.appending(path: "Tests/Fixtures/golden").path)) ?? []
  }()
}
