import ArgumentParser
import Foundation
import ToolSupport

/// What one benchmark found: a figure beside the ceiling that was measured in the same run.
struct Figure: Codable {
  var name: String
  var figure: Double
  var ceiling: Double
  var unit: String
  /// What the ceiling is, for people.
  var ceilingIs: String
  /// What we want of it.
  var target: Target?
  /// Anything else worth a column: counts, percentiles.
  var details: [String: Double] = [:]
  /// `figure / ceiling` for rates, where 1 is the machine's limit; for times it is how many times the ceiling they take.
  var ratio: Double { figure / ceiling }
  var isMet: Bool? { target.map { $0.isMet(figure, ceiling) } }

  private enum Key: String, CodingKey {
    case name, figure, ceiling, ratio, unit, target, details
    case ceilingIs = "ceiling_is"
  }

  init(
    name: String, figure: Double, ceiling: Double, unit: String, ceilingIs: String, target: Target? = nil,
    details: [String: Double] = [:]
  ) {
    self.name = name
    self.figure = figure
    self.ceiling = ceiling
    self.unit = unit
    self.ceilingIs = ceilingIs
    self.target = target
    self.details = details
  }

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    name = try container.decode(String.self, forKey: .name)
    figure = try container.decode(Double.self, forKey: .figure)
    ceiling = try container.decode(Double.self, forKey: .ceiling)
    unit = try container.decode(String.self, forKey: .unit)
    ceilingIs = try container.decode(String.self, forKey: .ceilingIs)
    target = try container.decodeIfPresent(Target.self, forKey: .target)
    details = try container.decodeIfPresent([String: Double].self, forKey: .details) ?? [:]
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(name, forKey: .name)
    try container.encode(figure, forKey: .figure)
    try container.encode(ceiling, forKey: .ceiling)
    try container.encode(ratio, forKey: .ratio)
    try container.encode(unit, forKey: .unit)
    try container.encode(ceilingIs, forKey: .ceilingIs)
    try container.encodeIfPresent(target, forKey: .target)
    if !details.isEmpty { try container.encode(details, forKey: .details) }
  }
}

/// What a figure should be.
struct Target: Codable, CustomStringConvertible {
  enum Bound: String, Codable {
    case ratioAtLeast = "ratio_at_least"
    case ratioAtMost = "ratio_at_most"
    /// Of the figure above its ceiling, in its unit.
    case excessAtMost = "excess_at_most"
  }

  var bound: Bound
  var value: Double

  static func atLeast(_ ratio: Double) -> Target { Target(bound: .ratioAtLeast, value: ratio) }
  static func atMost(_ ratio: Double) -> Target { Target(bound: .ratioAtMost, value: ratio) }
  static func excess(_ most: Double) -> Target { Target(bound: .excessAtMost, value: most) }

  func isMet(_ figure: Double, _ ceiling: Double) -> Bool {
    switch bound {
    case .ratioAtLeast: figure / ceiling >= value
    case .ratioAtMost: figure / ceiling <= value
    case .excessAtMost: figure - ceiling <= value
    }
  }

  var description: String {
    switch bound {
    case .ratioAtLeast: "at least \(value)"
    case .ratioAtMost: "at most \(value)"
    case .excessAtMost: "at most \(value) more"
    }
  }
}

/// Prints figures for people, one line each, or as a JSON list.
func report(_ figures: [Figure], json: Bool) throws {
  guard !json else {
    try Output.json(figures)
    return
  }
  for figure in figures {
    let head = "\(figure.name): \(short(figure.figure)) \(figure.unit)"
    let target = figure.target.map { "; \($0): \(figure.isMet == true ? "met" : "missed")" } ?? ""
    try Output.write(
      "\(head)  (\(short(figure.ratio)) × \(figure.ceilingIs), \(short(figure.ceiling)) \(figure.unit)\(target))\n"
    )
    for (name, value) in figure.details.sorted(by: { $0.key < $1.key }) {
      try Output.write("    \(name.replacing("_", with: " ")): \(short(value))\n")
    }
  }
}

/// Three significant digits, without an exponent.
func short(_ value: Double) -> String {
  guard value.isFinite, value != 0 else { return "\(value)" }
  let decimals = max(0, 2 - Int(log10(abs(value)).rounded(.down)))
  return String(format: "%.\(decimals)f", value)
}

extension Array where Element == Double {
  /// The value below which `fraction` of the values lie.
  func percentile(_ fraction: Double) -> Double {
    let sorted = self.sorted()
    guard let last = sorted.indices.last else { return .nan }
    return sorted[Swift.min(last, Int((Double(last) * fraction).rounded()))]
  }
  var median: Double { percentile(0.5) }
}

/// Wall time of `work` in seconds (CLOCK_MONOTONIC).
func seconds<R>(_ work: () throws -> R) rethrows -> Double {
  let start = ContinuousClock.now
  _ = try work()
  return (ContinuousClock.now - start) / .seconds(1)
}

struct JSONOption: ParsableArguments {
  @Flag(help: "Print a JSON list instead of text.")
  var json = false
}

/// Whether another program sets the pace.
struct ServeOption: ParsableArguments {
  @Flag(
    help:
      "Do the first of the works once for each line of standard input; answer each with its seconds, as JSON."
  )
  var serve = false

  /// Answers until standard input ends.
  func answer(_ work: () throws -> Void) throws { try answerSeconds { try seconds(work) } }

  /// As ``answer(_:)``, with work that gives its own seconds.
  func answerSeconds(_ work: () throws -> Double) throws {
    while readLine() != nil { try Output.write("{\"seconds\": \(try work())}\n") }
  }
}

extension PrivateDaemon {
  /// A daemon whose commits survive what `durability` says: process, ordered or full.
  convenience init(durability: String) throws {
    var options = Options()
    options.durability = durability
    try self.init(options)
  }
}
