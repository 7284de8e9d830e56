import Foundation

/// Whether `make test-long` runs the tests: more rounds, larger inputs, and tests that `make test` says it leaves out.
public let longTests = ProcessInfo.processInfo.environment["LAGOON_LONG_TESTS"] == "1"
